# TLS, users and failover, and the values that are refused.

mock_provider "aws" {
  source = "../../../mocks/aws"
}

variables {
  name    = "thalweg-test"
  network = "vpc-1"
  subnets = ["subnet-a", "subnet-b"]
  clients = { nodes = "sg-nodes" }
}

run "encrypted_and_highly_available" {
  assert {
    condition     = aws_elasticache_replication_group.this.engine == "valkey" && aws_elasticache_replication_group.this.automatic_failover_enabled && aws_elasticache_replication_group.this.multi_az_enabled
    error_message = "A replica in another zone takes over."
  }
  assert {
    condition     = aws_elasticache_replication_group.this.transit_encryption_enabled && aws_elasticache_replication_group.this.transit_encryption_mode == "required" && aws_elasticache_replication_group.this.kms_key_id == module.key.arn
    error_message = "TLS is required, and what is stored has the customer key."
  }
}

run "the_password_is_nowhere" {
  assert {
    condition     = aws_elasticache_user.application.passwords_wo == null && aws_elasticache_user.application.passwords == null
    error_message = "The state holds no password."
  }
  assert {
    condition     = strcontains(aws_elasticache_user.application.access_string, "-@admin") && length(aws_elasticache_user_group.this.user_ids) == 1
    error_message = "One user, and no administrator."
  }
}

run "wrong_name_is_refused" {
  command = plan
  variables {
    name = "Cache"
  }
  expect_failures = [var.name]
}

run "one_zone_is_refused" {
  command = plan
  variables {
    subnets = ["subnet-a"]
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

run "an_old_engine_is_refused" {
  command = plan
  variables {
    engine_version = "7.2"
  }
  expect_failures = [var.engine_version]
}

run "wrong_type_is_refused" {
  command = plan
  variables {
    node_type = "t4g.small"
  }
  expect_failures = [var.node_type]
}

run "one_node_is_refused" {
  command = plan
  variables {
    nodes = 1
  }
  expect_failures = [var.nodes]
}
