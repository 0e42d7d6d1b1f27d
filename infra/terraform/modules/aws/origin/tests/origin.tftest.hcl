# The balancer is open to edges only, and wrong values are refused.

mock_provider "aws" {
  source = "../../../mocks/aws"
}

variables {
  name                = "thalweg-test"
  network             = "vpc-1"
  node_security_group = "sg-nodes"
  web_acl             = "arn:aws:wafv2:us-east-1:111122223333:regional/webacl/test/1"
  edges               = { gcp = "192.0.2.10/32", azure = "198.51.100.10/32" }
}

run "only_edges_are_let_in" {
  assert {
    condition     = aws_vpc_security_group_ingress_rule.edges.cidr_ipv4 == null && aws_vpc_security_group_ingress_rule.edges.prefix_list_id == aws_ec2_managed_prefix_list.edges.id
    error_message = "The balancer is open to the list of edges, not to the internet."
  }
  assert {
    condition     = aws_vpc_security_group_ingress_rule.edges.from_port == 443 && aws_vpc_security_group_ingress_rule.edges.to_port == 443
    error_message = "Nothing but TLS is open."
  }
  assert {
    condition     = toset([for entry in aws_ec2_managed_prefix_list.edges.entry : entry.cidr]) == toset(["192.0.2.10/32", "198.51.100.10/32"])
    error_message = "The list has the edges that were named."
  }
  assert {
    condition     = output.annotations["alb.ingress.kubernetes.io/ssl-policy"] == "ELBSecurityPolicy-TLS13-1-2-2021-06"
    error_message = "The TLS policy is named: AWS's default takes TLS 1.0."
  }
}

run "wrong_name_is_refused" {
  command = plan
  variables {
    name = "Origin"
  }
  expect_failures = [var.name]
}

run "no_edge_is_refused" {
  command = plan
  variables {
    edges = {}
  }
  expect_failures = [var.edges]
}

run "the_internet_as_an_edge_is_refused" {
  command = plan
  variables {
    edges = { all = "0.0.0.0/0" }
  }
  expect_failures = [var.edges]
}

run "wrong_web_acl_is_refused" {
  command = plan
  variables {
    web_acl = "none"
  }
  expect_failures = [var.web_acl]
}
