# Checks state and identities by plans: accounts of state refuse to be destroyed, so nothing is applied here.
mock_provider "azurerm" {
  mock_data "azurerm_role_definition" {
    defaults = { id = "/providers/Microsoft.Authorization/roleDefinitions/7f951dda-4ed3-4680-a7ca-43fe172d538d" }
  }
}

mock_provider "azapi" {}

variables {
  subscription_id = "00000000-0000-0000-0000-000000000000"
  accounts        = { state = "thalwegstate", audit = "thalwegaudit", vault = "thalweg-state" }
  repository      = "example/thalweg"
  environments = {
    development = { subscription_id = "00000000-0000-0000-0000-000000000001" }
    production  = { subscription_id = "00000000-0000-0000-0000-000000000003" }
  }
  runner_addresses = ["192.0.2.1", "198.51.100.0/30"]
  administrators   = "00000000-0000-0000-0000-0000000000aa"
}

run "state_is_versioned_closed_and_opened_by_entra_only" {
  command = plan
  assert {
    condition = alltrue([
      for account in azurerm_storage_account.this :
      one(account.blob_properties).versioning_enabled && account.shared_access_key_enabled == false && account.min_tls_version == "TLS1_2"
      && account.https_traffic_only_enabled && one(account.network_rules).default_action == "Deny" && length(account.customer_managed_key) == 1
    ])
    error_message = "Accounts are versioned, have the customer's key, take TLS only, and no account key opens them."
  }
  assert {
    condition     = azurerm_storage_account.this["state"].account_replication_type == "GZRS"
    error_message = "State survives the loss of its region."
  }
  assert {
    condition     = azurerm_key_vault.this.purge_protection_enabled && !azurerm_key_vault.this.public_network_access_enabled && azurerm_key_vault.this.rbac_authorization_enabled
    error_message = "The key of the state cannot be purged."
  }
  assert {
    condition     = toset(keys(azurerm_storage_container.state)) == toset(["development", "production"])
    error_message = "Each environment has a container of its own."
  }
}

run "identities_are_bound_to_repository_and_environment" {
  command = plan
  assert {
    condition = output.subjects == {
      development-plan    = "repo:example/thalweg:environment:development-plan"
      development-apply   = "repo:example/thalweg:environment:development"
      development-publish = "repo:example/thalweg:environment:development-publish"
      production-publish  = "repo:example/thalweg:environment:production-publish"
      production-plan     = "repo:example/thalweg:environment:production-plan"
      production-apply    = "repo:example/thalweg:environment:production"
    }
    error_message = "A token of another repository or environment is refused."
  }
  assert {
    condition     = alltrue([for credential in azurerm_federated_identity_credential.pipeline : credential.issuer == "https://token.actions.githubusercontent.com"])
    error_message = "GitHub is the only issuer."
  }
  assert {
    condition     = alltrue([for role in azurerm_role_assignment.plan : role.role_definition_name == "Reader"]) && toset(keys(azurerm_role_assignment.plan)) == toset(["development-plan", "production-plan"])
    error_message = "A plan only reads."
  }
  assert {
    condition     = azurerm_role_assignment.state["production-plan"].role_definition_name == "Storage Blob Data Reader"
    error_message = "A plan writes no state."
  }
  assert {
    condition     = !anytrue([for key in concat(keys(azurerm_role_assignment.plan), keys(azurerm_role_assignment.state)) : strcontains(key, "-publish")])
    error_message = "What pushes images has no right on infrastructure or state."
  }
}

run "apply_has_a_boundary" {
  command = plan
  assert {
    condition     = alltrue([for role in azurerm_role_definition.provisioner : !anytrue([for action in one(role.permissions).actions : action == "*" || action == "Microsoft.Authorization/*"])])
    error_message = "terraform-provisioner names services; it is no owner."
  }
  assert {
    condition     = length(setintersection(local.assignable, ["Owner", "Contributor", "User Access Administrator", "Role Based Access Control Administrator"])) == 0
    error_message = "No role that assigns roles is handed on."
  }
  assert {
    condition = alltrue([
      for role in azurerm_role_assignment.boundary :
      role.condition_version == "2.0" && strcontains(role.condition, "roleAssignments/write") && strcontains(role.condition, "7f951dda-4ed3-4680-a7ca-43fe172d538d")
      && strcontains(role.condition, "{'ServicePrincipal'}")
    ])
    error_message = "Roles are handed on under the condition."
  }
  assert {
    condition     = azurerm_role_assignment.provisioner["production"].scope == "/subscriptions/00000000-0000-0000-0000-000000000003"
    error_message = "Rights end at the border of the environment's subscription."
  }
}

run "refuses_a_subscription_that_is_no_uuid" {
  command = plan
  variables {
    subscription_id = "production"
  }
  expect_failures = [var.subscription_id]
}

run "refuses_a_bad_account_name" {
  command = plan
  variables {
    accounts = { state = "Thalweg-State", audit = "thalwegaudit", vault = "thalweg-state" }
  }
  expect_failures = [var.accounts]
}

run "refuses_a_bad_vault_name" {
  command = plan
  variables {
    accounts = { state = "thalwegstate", audit = "thalwegaudit", vault = "1_vault" }
  }
  expect_failures = [var.accounts]
}

run "refuses_any_repository" {
  command = plan
  variables {
    repository = "example/*"
  }
  expect_failures = [var.repository]
}

run "refuses_an_unknown_environment" {
  command = plan
  variables {
    environments = { qa = { subscription_id = "00000000-0000-0000-0000-000000000001" } }
  }
  expect_failures = [var.environments]
}

run "refuses_a_shared_subscription" {
  command = plan
  variables {
    environments = { development = { subscription_id = "x" }, production = { subscription_id = "x" } }
  }
  expect_failures = [var.environments]
}

run "refuses_state_open_to_all" {
  command = plan
  variables {
    runner_addresses = ["0.0.0.0/0"]
  }
  expect_failures = [var.runner_addresses]
}

run "refuses_no_runner" {
  command = plan
  variables {
    runner_addresses = []
  }
  expect_failures = [var.runner_addresses]
}

run "refuses_missing_tags" {
  command = plan
  variables {
    tags = { owner = "platform" }
  }
  expect_failures = [var.tags]
}

run "refuses_administrators_without_an_id" {
  command = plan
  variables {
    administrators = "platform-team"
  }
  expect_failures = [var.administrators]
}
