# A key's policy and rotation, and the names that are refused.

mock_provider "aws" {
  source = "../../../mocks/aws"
}

variables {
  name        = "thalweg-test"
  description = "Test"
}

run "rotates_and_is_deleted_late" {
  assert {
    condition     = aws_kms_key.this.enable_key_rotation && aws_kms_key.this.deletion_window_in_days == 30
    error_message = "A key rotates, and its deletion can be undone for 30 days."
  }
  assert {
    condition     = length(jsondecode(aws_kms_key.this.policy).Statement) == 1
    error_message = "Without services only the account's IAM policies decide."
  }
}

run "services_are_bound_to_the_account" {
  variables {
    services = ["logs.us-east-1.amazonaws.com"]
  }
  assert {
    condition = alltrue([
      for statement in jsondecode(aws_kms_key.this.policy).Statement :
      strcontains(jsonencode(statement.Condition), "111122223333") if can(statement.Principal.Service)
    ])
    error_message = "A service may use the key for resources of this account only."
  }
}

run "wrong_name_is_refused" {
  command = plan
  variables {
    name = "aws/thalweg"
  }
  expect_failures = [var.name]
}

run "wrong_service_is_refused" {
  command = plan
  variables {
    services = ["logs"]
  }
  expect_failures = [var.services]
}

run "grants_are_for_aws_resources" {
  variables {
    grantees = ["arn:aws:iam::111122223333:role/disks"]
  }
  assert {
    condition = alltrue([
      for statement in jsondecode(aws_kms_key.this.policy).Statement :
      statement.Condition.Bool["kms:GrantIsForAWSResource"] == "true" if try(statement.Action == "kms:CreateGrant", false)
    ])
    error_message = "A grantee hands the key on to AWS resources only."
  }
  assert {
    condition     = length([for statement in jsondecode(aws_kms_key.this.policy).Statement : statement if statement.Sid == "Grant"]) == 1
    error_message = "A grantee has its statement."
  }
}

run "wrong_grantee_is_refused" {
  command = plan
  variables {
    grantees = ["everyone"]
  }
  expect_failures = [var.grantees]
}
