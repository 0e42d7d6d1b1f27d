# Checks that the rules bind every principal.
mock_provider "aws" {
  source = "../../mocks/aws"
}
mock_provider "google" {}
mock_provider "azurerm" {}

variables {
  name   = "thalweg-test"
  aws    = { target_id = "ou-ab12-34567890", regions = ["us-east-1", "eu-west-1"] }
  google = { project = "example", locations = ["in:europe-west1-locations"] }
  azure  = { subscription_id = "00000000-0000-0000-0000-000000000003", locations = ["southeastasia"], contact = "security@example.com", phone = "+6560000000" }
}

run "no_cloud_makes_a_long_lived_key" {
  assert {
    condition     = contains(jsondecode(aws_organizations_policy.this[0].content).Statement[0].Action, "iam:CreateAccessKey") && jsondecode(aws_organizations_policy.this[0].content).Statement[0].Resource == "*"
    error_message = "AWS makes no access key."
  }
  assert {
    condition     = google_org_policy_policy.enforced["iam.disableServiceAccountKeyCreation"].spec[0].rules[0].enforce == "TRUE"
    error_message = "Google Cloud makes no service account key."
  }
  assert {
    condition     = jsondecode(azurerm_policy_definition.denied["registry-admin"].policy_rule)["then"].effect == "deny" && length(azurerm_subscription_policy_assignment.denied) == length(azurerm_policy_definition.denied)
    error_message = "Azure makes no registry password, and each rule is assigned."
  }
}

run "policies_deny_and_never_allow" {
  assert {
    condition     = alltrue([for statement in jsondecode(aws_organizations_policy.this[0].content).Statement : statement.Effect == "Deny"])
    error_message = "A service control policy bounds, it grants nothing."
  }
  assert {
    condition     = length(aws_organizations_policy.this[0].content) < 5120
    error_message = "AWS takes at most 5,120 characters."
  }
  assert {
    condition     = alltrue([for rule in azurerm_policy_definition.denied : jsondecode(rule.policy_rule)["if"].allOf[0].field == "type"])
    error_message = "Each of Azure's rules is for one type."
  }
}

run "images_are_scanned" {
  assert {
    condition     = contains([for extension in azurerm_security_center_subscription_pricing.this["Containers"].extension : extension.name], "ContainerRegistriesVulnerabilityAssessments")
    error_message = "What is pushed to the registry is scanned."
  }
}

run "nothing_without_a_cloud" {
  variables {
    aws    = null
    google = null
    azure  = null
  }
  assert {
    condition     = length(aws_organizations_policy.this) + length(google_org_policy_policy.enforced) + length(azurerm_policy_definition.denied) + length(azurerm_security_center_subscription_pricing.this) == 0
    error_message = "A cloud that is not used has no rules."
  }
}

run "refuses_a_bad_name" {
  command = plan
  variables {
    name = "Prod"
  }
  expect_failures = [var.name]
}

run "refuses_the_root_of_an_organization" {
  command = plan
  variables {
    aws = { target_id = "r-ab12", regions = ["us-east-1"] }
  }
  expect_failures = [var.aws]
}

run "refuses_regions_without_the_global_one" {
  command = plan
  variables {
    aws = { target_id = "ou-ab12-34567890", regions = ["eu-west-1"] }
  }
  expect_failures = [var.aws]
}

run "refuses_locations_that_are_no_groups" {
  command = plan
  variables {
    google = { project = "example", locations = ["europe-west1"] }
  }
  expect_failures = [var.google]
}

run "refuses_a_subscription_that_is_no_uuid" {
  command = plan
  variables {
    azure = { subscription_id = "production", locations = ["southeastasia"], contact = "security@example.com", phone = "+6560000000" }
  }
  expect_failures = [var.azure]
}

run "refuses_a_missing_contact" {
  command = plan
  variables {
    azure = { subscription_id = "00000000-0000-0000-0000-000000000003", locations = ["southeastasia"], contact = "security", phone = "+6560000000" }
  }
  expect_failures = [var.azure]
}
