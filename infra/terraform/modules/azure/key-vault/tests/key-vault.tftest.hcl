# Checks the vault: it cannot be purged, strangers do not reach it, and each identity uses one key.
mock_provider "azurerm" {}
mock_provider "azapi" {
  mock_resource "azapi_resource_action" {
    defaults = {
      output = { properties = { keyUri = "https://v.vault.azure.net/keys/k", keyUriWithVersion = "https://v.vault.azure.net/keys/k/1" } }
    }
  }
}

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
    condition     = alltrue([for name, key in azapi_resource_action.key : key.body.properties.rotationPolicy.lifetimeActions[0].trigger.timeAfterCreate == "P1Y" if name != "etcd"])
    error_message = "Every key but etcd's rotates once a year."
  }
  assert {
    condition     = alltrue([for key in azapi_resource_action.key : key.body.properties.kty == "RSA-HSM" && key.method == "PUT"]) && !can(azapi_resource_action.key["etcd"].body.properties.rotationPolicy)
    error_message = "Keys live in a hardware module, and etcd's does not expire."
  }
  assert {
    condition     = alltrue([for name, role in azurerm_role_assignment.key : role.scope == azapi_resource_action.key[name].resource_id && role.principal_id == azurerm_user_assigned_identity.this[name].principal_id])
    error_message = "An identity uses its own key and no other."
  }
}

run "closed_to_the_internet" {
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
    network     = { subnet_id = "subnet", virtual_network_id = "network" }
    log_storage = { account_id = "logs" }
  }
  assert {
    condition     = length(module.private_endpoint) == 1
    error_message = "The network has a door to the vault."
  }
  assert {
    condition     = one(azurerm_monitor_diagnostic_setting.this[0].enabled_log).category == "AuditEvent" && azurerm_monitor_diagnostic_setting.this[0].storage_account_id == "logs"
    error_message = "Every use of a key is recorded."
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

run "refuses_a_bad_name_of_a_key" {
  command = plan
  variables {
    keys = { "Disks!" = true }
  }
  expect_failures = [var.keys]
}

run "refuses_to_rotate_etcd_by_itself" {
  command = plan
  variables {
    keys = { etcd = true }
  }
  expect_failures = [var.keys]
}
