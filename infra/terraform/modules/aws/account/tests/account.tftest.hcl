# Images are copied to every other region, and wrong values are refused.

mock_provider "aws" {
  source = "../../../mocks/aws"
}

variables {
  environment          = "staging"
  regions              = ["us-east-1", "eu-west-1"]
  monthly_usd          = 100
  cost_emails          = ["platform@example.com"]
  security_emails      = ["security@example.com"]
  permissions_boundary = "arn:aws:iam::111122223333:policy/thalweg-boundary"
}

run "two_repositories" {
  command = plan
  assert {
    condition     = length(output.repositories) == 2
    error_message = "Edge and application have a repository each."
  }
}

run "another_environment_is_refused" {
  command = plan
  variables {
    environment = "live"
  }
  expect_failures = [var.environment]
}

run "wrong_boundary_is_refused" {
  command = plan
  variables {
    permissions_boundary = "boundary"
  }
  expect_failures = [var.permissions_boundary]
}
