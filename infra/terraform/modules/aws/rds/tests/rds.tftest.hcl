# A database that is safe by default, and the values that are refused.

mock_provider "aws" {
  source = "../../../mocks/aws"
}

variables {
  name                 = "thalweg-test"
  network              = "vpc-1"
  subnets              = ["subnet-a", "subnet-b", "subnet-c"]
  clients              = { nodes = "sg-nodes" }
  copy_region          = "eu-west-1"
  permissions_boundary = "arn:aws:iam::111122223333:policy/thalweg-boundary"
}

run "two_zones_no_password_tls_only" {
  assert {
    condition     = aws_db_instance.this.multi_az && aws_db_instance.this.deletion_protection && !aws_db_instance.this.publicly_accessible
    error_message = "A standby, no deletion by accident, no public address."
  }
  assert {
    condition     = aws_db_instance.this.manage_master_user_password && aws_db_instance.this.password == null && aws_db_instance.this.iam_database_authentication_enabled
    error_message = "RDS keeps the master password, and IAM login is on."
  }
  assert {
    condition     = anytrue([for parameter in aws_db_parameter_group.this.parameter : parameter.name == "rds.force_ssl" && parameter.value == "1"])
    error_message = "Connections without TLS are refused."
  }
  assert {
    condition     = aws_db_instance.this.storage_encrypted && aws_db_instance.this.kms_key_id == module.key.arn && aws_db_instance.this.performance_insights_kms_key_id == module.key.arn
    error_message = "Everything stored has the customer key."
  }
  assert {
    condition     = aws_vpc_security_group_ingress_rule.clients["nodes"].referenced_security_group_id == "sg-nodes" && aws_vpc_security_group_ingress_rule.clients["nodes"].cidr_ipv4 == null
    error_message = "Nodes reach the database, and no network does."
  }
}

run "backups_go_back_and_away" {
  assert {
    condition     = aws_db_instance.this.backup_retention_period == 35 && aws_db_instance_automated_backups_replication.this[0].region == "eu-west-1"
    error_message = "Five weeks, here and in another region."
  }
}

run "without_a_copy_none_is_made" {
  variables {
    copy_region = null
  }
  assert {
    condition     = length(aws_db_instance_automated_backups_replication.this) == 0
    error_message = "No copy without a region for it."
  }
}

run "wrong_name_is_refused" {
  command = plan
  variables {
    name = "Main Database"
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
    engine_version = "9.6"
  }
  expect_failures = [var.engine_version]
}

run "wrong_class_is_refused" {
  command = plan
  variables {
    instance_class = "t3.small"
  }
  expect_failures = [var.instance_class]
}

run "little_storage_is_refused" {
  command = plan
  variables {
    storage_gib = 5
  }
  expect_failures = [var.storage_gib]
}

run "no_backups_are_refused" {
  command = plan
  variables {
    backup_days = 0
  }
  expect_failures = [var.backup_days]
}

run "wrong_copy_region_is_refused" {
  command = plan
  variables {
    copy_region = "somewhere"
  }
  expect_failures = [var.copy_region]
}

run "wrong_boundary_is_refused" {
  command = plan
  variables {
    permissions_boundary = "boundary"
  }
  expect_failures = [var.permissions_boundary]
}
