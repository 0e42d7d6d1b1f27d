# Checks the answers: edges only, each with its own health check, and the authorities that may issue certificates.
mock_provider "aws" {
  source = "../../mocks/aws"
}

variables {
  zone                = "example.com"
  hosts               = ["api", ""]
  certificate_contact = "security@example.com"
  edges = {
    one = { ipv4 = ["192.0.2.10", "192.0.2.11"], region = "us-east-1", weight = 3 }
    two = { ipv4 = ["198.51.100.10"], ipv6 = ["2001:db8::10"], region = "eu-west-1", weight = 1 }
  }
}

run "an_answer_holds_every_healthy_address" {
  assert {
    condition     = length(aws_route53_record.edges) == 8 && alltrue([for record in aws_route53_record.edges : record.multivalue_answer_routing_policy && length(record.records) == 1 && record.ttl == 60])
    error_message = "Two names, four addresses, each in a record of its own."
  }
  assert {
    condition     = alltrue([for key, record in aws_route53_record.edges : record.health_check_id == aws_route53_health_check.address[split("/", key)[1]].id])
    error_message = "Each record follows the health of its own address."
  }
  assert {
    condition     = alltrue([for check in aws_route53_health_check.address : check.type == "HTTPS" && check.port == 443 && check.enable_sni && check.fqdn == "example.com"])
    error_message = "Addresses are asked over TLS by the name that clients use."
  }
  assert {
    condition     = toset([for record in aws_route53_record.edges : record.name]) == toset(["example.com", "api.example.com"])
    error_message = "The names are those of the hosts."
  }
}

run "only_the_named_authorities_issue_and_the_zone_is_signed" {
  assert {
    condition     = aws_route53_record.caa.records == toset(["0 issue \"letsencrypt.org\"", "0 issuewild \";\"", "0 iodef \"mailto:security@example.com\""])
    error_message = "One authority issues, none issues wildcards."
  }
  assert {
    condition     = aws_route53_hosted_zone_dnssec.this.signing_status == "SIGNING" && aws_kms_key.signing.key_usage == "SIGN_VERIFY"
    error_message = "The zone is signed."
  }
  assert {
    condition     = aws_cloudwatch_log_group.queries.kms_key_id == module.log_key.arn
    error_message = "Queries are logged under the customer's key."
  }
}

run "latency_records_by_region" {
  variables {
    steering = "latency"
  }
  assert {
    condition     = aws_route53_record.edges["api/one-a"].records == toset(["192.0.2.10", "192.0.2.11"]) && one(aws_route53_record.edges["api/one-a"].latency_routing_policy).region == "us-east-1"
    error_message = "An edge's addresses stand together under its region."
  }
  assert {
    condition     = length(aws_route53_record.edges) == 6 && alltrue([for record in aws_route53_record.edges : record.health_check_id != null && record.multivalue_answer_routing_policy == null])
    error_message = "Two names, two edges, one of them in both families; each record follows a health check."
  }
  assert {
    condition     = aws_route53_health_check.edge["one-a"].child_health_threshold == 1 && length(aws_route53_health_check.edge["one-a"].child_healthchecks) == 2
    error_message = "An edge is named while one of its addresses answers."
  }
}

run "weighted_records" {
  variables {
    steering = "weighted"
  }
  assert {
    condition     = one(aws_route53_record.edges["api/one-a"].weighted_routing_policy).weight == 3 && one(aws_route53_record.edges["api/two-aaaa"].weighted_routing_policy).weight == 1
    error_message = "Edges share by weight, in both families."
  }
}

run "refuses_a_zone_that_is_no_domain" {
  command = plan
  variables {
    zone = "example"
  }
  expect_failures = [var.zone]
}

run "refuses_a_wildcard" {
  command = plan
  variables {
    hosts = ["*"]
  }
  expect_failures = [var.hosts]
}

run "refuses_an_edge_without_an_address" {
  command = plan
  variables {
    edges = { one = { ipv4 = [] } }
  }
  expect_failures = [var.edges]
}

run "refuses_a_weight_out_of_range" {
  command = plan
  variables {
    edges = { one = { ipv4 = ["192.0.2.10"], weight = 300 } }
  }
  expect_failures = [var.edges]
}

run "refuses_an_unknown_steering" {
  command = plan
  variables {
    steering = "geo"
  }
  expect_failures = [var.steering]
}

run "refuses_latency_without_regions" {
  command = plan
  variables {
    steering = "latency"
    edges    = { one = { ipv4 = ["192.0.2.10"] } }
  }
  expect_failures = [var.steering]
}

run "refuses_an_answer_that_outlives_an_edge" {
  command = plan
  variables {
    ttl_s = 3600
  }
  expect_failures = [var.ttl_s]
}

run "refuses_a_hasty_health_check" {
  command = plan
  variables {
    health = { interval_s = 1 }
  }
  expect_failures = [var.health]
}

run "refuses_no_authority" {
  command = plan
  variables {
    certificate_authorities = []
  }
  expect_failures = [var.certificate_authorities]
}

run "refuses_a_contact_that_is_no_address" {
  command = plan
  variables {
    certificate_contact = "security"
  }
  expect_failures = [var.certificate_contact]
}

run "refuses_an_odd_retention" {
  command = plan
  variables {
    query_log_days = 17
  }
  expect_failures = [var.query_log_days]
}
