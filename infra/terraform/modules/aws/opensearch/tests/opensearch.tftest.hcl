# Encrypted, inside, in three zones; and the values that are refused.

mock_provider "aws" {
  source = "../../../mocks/aws"
}

variables {
  name          = "thalweg-test"
  network       = "vpc-1"
  subnets       = ["subnet-a", "subnet-b", "subnet-c"]
  clients       = { nodes = "sg-nodes" }
  administrator = "arn:aws:iam::111122223333:role/platform"
}

run "encrypted_inside_and_in_three_zones" {
  assert {
    condition     = aws_opensearch_domain.this.encrypt_at_rest[0].kms_key_id == module.key.arn && aws_opensearch_domain.this.node_to_node_encryption[0].enabled
    error_message = "Data is encrypted where it lies and where it travels."
  }
  assert {
    condition     = aws_opensearch_domain.this.domain_endpoint_options[0].enforce_https && startswith(aws_opensearch_domain.this.domain_endpoint_options[0].tls_security_policy, "Policy-Min-TLS-1-2")
    error_message = "TLS 1.2 at least, with forward secrecy."
  }
  assert {
    condition     = aws_opensearch_domain.this.cluster_config[0].zone_awareness_config[0].availability_zone_count == 3 && length(aws_opensearch_domain.this.vpc_options[0].subnet_ids) == 3
    error_message = "Three zones, inside the network."
  }
  assert {
    condition     = !aws_opensearch_domain.this.advanced_security_options[0].internal_user_database_enabled && aws_opensearch_domain.this.advanced_security_options[0].master_user_options[0].master_user_password == null
    error_message = "No user has a password."
  }
  assert {
    condition     = contains([for log in aws_opensearch_domain.this.log_publishing_options : log.log_type], "AUDIT_LOGS")
    error_message = "The audit log records requests and their users."
  }
}

run "a_long_name_is_refused" {
  command = plan
  variables {
    name = "thalweg-production-ap-southeast-1"
  }
  expect_failures = [var.name]
}

run "two_zones_are_refused" {
  command = plan
  variables {
    subnets = ["subnet-a", "subnet-b"]
  }
  expect_failures = [var.subnets]
}

run "no_client_is_refused" {
  command = plan
  variables {
    clients = {}
  }
  expect_failures = [var.clients]
}

run "a_user_as_administrator_is_refused" {
  command = plan
  variables {
    administrator = "arn:aws:iam::111122223333:user/bob"
  }
  expect_failures = [var.administrator]
}

run "wrong_type_is_refused" {
  command = plan
  variables {
    instance_type = "m7g.large"
  }
  expect_failures = [var.instance_type]
}

run "a_small_disk_is_refused" {
  command = plan
  variables {
    volume_gib = 1
  }
  expect_failures = [var.volume_gib]
}
