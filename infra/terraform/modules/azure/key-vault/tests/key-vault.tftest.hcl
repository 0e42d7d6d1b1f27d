# Judges the vault: it cannot be purged, strangers do not reach it, and each identity uses one key.
mock_provider "azurerm" {}

variables {
  name           = "thalweg-test"
  resource_group = { name = "thalweg-test", location = "southeastasia" }
  tags           = { environment = "development", owner = "platform" }
}

run "keys_stay_and_rotate" {
  assert {
    condition     = azurerm_key_vault.this.purge_protection_enabled && azurerm_key_vault.this.rbac_authorization_enabled
    error_message = "Keys cannot be purged, and rights come from Entra."
  }
  assert {
    condition     = alltrue([for key in azurerm_key_vault_key.this : one(one(key.rotation_policy).automatic).time_after_creation == "P1Y"])
    error_message = "Every key rotates once a year."
  }
  assert {
    condition     = alltrue([for name, role in azurerm_role_assignment.key : role.scope == azurerm_key_vault_key.this[name].resource_versionless_id && role.principal_id == azurerm_user_assigned_identity.this[name].principal_id])
    error_message = "An identity uses its own key and no other."
  }
}

run "closed_without_runners" {
  assert {
    condition     = azurerm_key_vault.this.public_network_access_enabled == false && one(azurerm_key_vault.this.network_acls).default_action == "Deny"
    error_message = "The vault is closed to the Internet."
  }
  assert {
    condition     = length(module.private_endpoint) == 0 && length(azurerm_monitor_diagnostic_setting.this) == 0
    error_message = "A vault for backups has neither endpoint nor audit."
  }
}

run "inside_the_network_and_audited" {
  variables {
    network          = { subnet_id = "subnet", virtual_network_id = "network" }
    log_storage      = { account_id = "logs" }
    runner_addresses = ["192.0.2.1", "198.51.100.0/30"]
  }
  assert {
    condition     = length(module.private_endpoint) == 1
    error_message = "The network has a door to the vault."
  }
  assert {
    condition     = one(azurerm_monitor_diagnostic_setting.this[0].enabled_log).category == "AuditEvent" && azurerm_monitor_diagnostic_setting.this[0].storage_account_id == "logs"
    error_message = "Every use of a key is recorded."
  }
  assert {
    condition     = one(azurerm_key_vault.this.network_acls).ip_rules == toset(["192.0.2.1", "198.51.100.0/30"]) && one(azurerm_key_vault.this.network_acls).default_action == "Deny"
    error_message = "Of the Internet the runners get in, and no others."
  }
}

run "refuses_a_bad_name" {
  command = plan
  variables {
    name = "Thalweg_"
  }
  expect_failures = [var.name]
}

run "refuses_missing_tags" {
  command = plan
  variables {
    tags = { environment = "development" }
  }
  expect_failures = [var.tags]
}

run "refuses_a_key_that_cannot_wrap" {
  command = plan
  variables {
    keys = { disks = "EC" }
  }
  expect_failures = [var.keys]
}

run "refuses_a_vault_open_to_all" {
  command = plan
  variables {
    runner_addresses = ["0.0.0.0/0"]
  }
  expect_failures = [var.runner_addresses]
}
