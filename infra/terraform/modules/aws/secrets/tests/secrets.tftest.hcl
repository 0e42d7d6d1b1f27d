# Tokens rotate, other accounts are denied, and wrong values are refused.

mock_provider "aws" {
  source = "../../../mocks/aws"
}

mock_provider "archive" {}

variables {
  name                 = "thalweg-test"
  permissions_boundary = "arn:aws:iam::111122223333:policy/thalweg-boundary"
  replica_regions      = ["eu-west-1"]
  secrets = {
    token = { kind = "token", description = "A token" }
    given = { kind = "given", description = "A value" }
  }
}

run "tokens_rotate_and_given_ones_do_not" {
  assert {
    condition     = keys(aws_secretsmanager_secret_rotation.this) == ["token"] && aws_secretsmanager_secret_rotation.this["token"].rotation_rules[0].automatically_after_days == 30
    error_message = "A token is changed every month; a given value by its giver alone."
  }
  assert {
    condition     = aws_lambda_permission.rotate[0].source_account == "111122223333"
    error_message = "Secrets Manager calls the function for this account only."
  }
}

run "secrets_are_encrypted_copied_and_closed" {
  assert {
    condition     = alltrue([for secret in aws_secretsmanager_secret.this : secret.kms_key_id == module.key.arn && secret.recovery_window_in_days == 30])
    error_message = "Each secret has the customer key, and a deletion can be undone."
  }
  assert {
    condition     = alltrue([for secret in aws_secretsmanager_secret.this : one(secret.replica).region == "eu-west-1"])
    error_message = "Each has its copy."
  }
  assert {
    condition     = alltrue([for policy in aws_secretsmanager_secret_policy.this : policy.block_public_policy && strcontains(policy.policy, "aws:PrincipalAccount")])
    error_message = "Another account reads nothing."
  }
}

run "a_caches_user_is_changed_and_no_other" {
  variables {
    secrets = {
      url = { kind = "cache", description = "REDIS_URL", cache = { user_id = "thalweg-test-app", user_name = "app", endpoint = "cache.example" } }
    }
  }
  assert {
    condition     = length([for statement in jsondecode(aws_iam_role_policy.rotate[0].policy).Statement : statement if try(statement.Resource == ["arn:aws:elasticache:us-east-1:111122223333:user:thalweg-test-app"], false)]) == 1
    error_message = "The function changes this user's password and no other's."
  }
  assert {
    condition     = values(jsondecode(aws_lambda_function.rotate[0].environment[0].variables.CACHES))[0].endpoint == "cache.example"
    error_message = "The function knows the cache of the secret."
  }
}

run "without_tokens_there_is_no_function" {
  variables {
    secrets = { given = { kind = "given", description = "A value" } }
  }
  assert {
    condition     = length(aws_lambda_function.rotate) == 0
    error_message = "Nothing rotates, so nothing runs."
  }
}

run "wrong_name_is_refused" {
  command = plan
  variables {
    name = "Secrets"
  }
  expect_failures = [var.name]
}

run "wrong_kind_is_refused" {
  command = plan
  variables {
    secrets = { a = { kind = "password", description = "x" } }
  }
  expect_failures = [var.secrets]
}

run "a_cache_without_its_user_is_refused" {
  command = plan
  variables {
    secrets = { a = { kind = "cache", description = "x" } }
  }
  expect_failures = [var.secrets]
}

run "a_name_with_spaces_is_refused" {
  command = plan
  variables {
    secrets = { "a b" = { kind = "given", description = "x" } }
  }
  expect_failures = [var.secrets]
}

run "wrong_region_is_refused" {
  command = plan
  variables {
    replica_regions = ["europe"]
  }
  expect_failures = [var.replica_regions]
}

run "wrong_boundary_is_refused" {
  command = plan
  variables {
    permissions_boundary = "boundary"
  }
  expect_failures = [var.permissions_boundary]
}
