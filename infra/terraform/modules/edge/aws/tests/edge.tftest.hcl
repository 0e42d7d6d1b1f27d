# One address per zone, one open port, and the values that are refused.

mock_provider "aws" {
  source = "../../../mocks/aws"
}

variables {
  name                = "thalweg-test"
  network             = "vpc-1"
  node_security_group = "sg-nodes"
  subnets             = { us-east-1a = "subnet-a", us-east-1b = "subnet-b", us-east-1c = "subnet-c" }
}

run "only_443_is_open" {
  command = plan
  assert {
    condition     = aws_vpc_security_group_ingress_rule.clients.from_port == 443 && aws_vpc_security_group_ingress_rule.clients.to_port == 443 && aws_vpc_security_group_ingress_rule.clients.ip_protocol == "tcp"
    error_message = "Clients reach TLS and nothing else."
  }
  assert {
    condition     = aws_vpc_security_group_ingress_rule.edges.cidr_ipv4 == null && aws_vpc_security_group_ingress_rule.edges.from_port == 8443
    error_message = "Nodes let in the balancer, not its clients, and to the edges' port only."
  }
}

run "without_http3_no_udp" {
  command = plan
  assert {
    condition     = length(aws_vpc_security_group_ingress_rule.quic) + length(aws_vpc_security_group_egress_rule.quic) + length(aws_vpc_security_group_ingress_rule.quic_edges) == 0
    error_message = "UDP is open although no listener has h3."
  }
}

run "http3_is_udp_on_the_same_ports" {
  command = plan
  variables {
    http3 = true
  }
  assert {
    condition     = aws_vpc_security_group_ingress_rule.quic[0].ip_protocol == "udp" && aws_vpc_security_group_ingress_rule.quic[0].from_port == 443 && aws_vpc_security_group_ingress_rule.quic[0].to_port == 443
    error_message = "Clients reach HTTP/3 on 443 and nothing else."
  }
  assert {
    condition     = aws_vpc_security_group_ingress_rule.quic_edges[0].ip_protocol == "udp" && aws_vpc_security_group_ingress_rule.quic_edges[0].cidr_ipv4 == null && aws_vpc_security_group_ingress_rule.quic_edges[0].from_port == 8443
    error_message = "Nodes let in the balancer's UDP, not its clients', and to the edges' port only."
  }
  assert {
    condition     = aws_vpc_security_group_egress_rule.quic[0].ip_protocol == "udp" && aws_vpc_security_group_egress_rule.quic[0].to_port == 8443
    error_message = "The balancer cannot send HTTP/3 to the edges."
  }
}

run "one_address_per_zone" {
  command = plan
  override_resource {
    target          = aws_eip.this
    values          = { allocation_id = "eipalloc-1", public_ip = "192.0.2.1" }
    override_during = plan
  }
  override_resource {
    target          = aws_security_group.balancer
    values          = { id = "sg-edge" }
    override_during = plan
  }
  assert {
    condition     = length(output.addresses) == 3 && length(split(",", output.annotations["service.beta.kubernetes.io/aws-load-balancer-eip-allocations"])) == 3
    error_message = "Each zone has its address, and the Service is given all."
  }
  assert {
    condition     = output.annotations["service.beta.kubernetes.io/aws-load-balancer-subnets"] == "subnet-a,subnet-b,subnet-c"
    error_message = "Subnets and addresses are listed in one order: AWS pairs them by position."
  }
}

run "a_long_name_is_cut_to_what_a_balancer_takes" {
  command = plan
  variables {
    name = "thalweg-production-ap-southeast-1"
  }
  override_resource {
    target          = aws_eip.this
    values          = { allocation_id = "eipalloc-1", public_ip = "192.0.2.1" }
    override_during = plan
  }
  override_resource {
    target          = aws_security_group.balancer
    values          = { id = "sg-edge" }
    override_during = plan
  }
  assert {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{0,30}[a-z0-9]$", output.annotations["service.beta.kubernetes.io/aws-load-balancer-name"]))
    error_message = "A balancer's name has at most 32 characters and ends with none of '-'."
  }
}

run "wrong_name_is_refused" {
  command = plan
  variables {
    name = "The edge"
  }
  expect_failures = [var.name]
}

run "one_zone_is_refused" {
  command = plan
  variables {
    subnets = { us-east-1a = "subnet-a" }
  }
  expect_failures = [var.subnets]
}

run "a_low_port_is_refused" {
  command = plan
  variables {
    edge_port = 443
  }
  expect_failures = [var.edge_port]
}

run "wrong_pool_is_refused" {
  command = plan
  variables {
    address_pool = "192.0.2.0/24"
  }
  expect_failures = [var.address_pool]
}
