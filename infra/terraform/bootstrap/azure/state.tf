# State: versioned, encrypted with a key of its own, one container per environment. The blob's lease is the lock:
# Azure's backend needs no table beside it.

locals {
  accounts = {
    state = var.accounts.state
    # The log of every access to state and to its key.
    audit = var.accounts.audit
  }
}

resource "azurerm_storage_account" "this" {
  for_each = local.accounts

  name                              = each.value
  resource_group_name               = azurerm_resource_group.this.name
  location                          = var.location
  account_tier                      = "Standard"
  account_replication_type          = "GZRS" # copies in three zones and in the paired region
  min_tls_version                   = "TLS1_2"
  infrastructure_encryption_enabled = true
  https_traffic_only_enabled        = true
  shared_access_key_enabled         = false # Entra only: an account key would open all containers at once
  default_to_oauth_authentication   = true
  allow_nested_items_to_be_public   = false
  cross_tenant_replication_enabled  = false
  local_user_enabled                = false
  tags                              = var.tags

  identity {
    type         = "UserAssigned"
    identity_ids = [azurerm_user_assigned_identity.storage.id]
  }
  customer_managed_key {
    key_vault_key_id          = azapi_resource_action.key.output.properties.keyUri
    user_assigned_identity_id = azurerm_user_assigned_identity.storage.id
  }
  network_rules {
    default_action = "Deny"
    bypass         = ["AzureServices"]
    ip_rules       = var.runner_addresses
  }
  blob_properties {
    versioning_enabled  = true
    change_feed_enabled = true
    delete_retention_policy {
      days = 90
    }
    container_delete_retention_policy {
      days = 90
    }
  }

  lifecycle {
    prevent_destroy = true
  }
  depends_on = [azurerm_role_assignment.storage_key]
}

resource "azurerm_storage_container" "state" {
  for_each = var.environments

  name                  = each.key
  storage_account_id    = azurerm_storage_account.this["state"].id
  container_access_type = "private"
}

resource "azurerm_monitor_diagnostic_setting" "audit" {
  for_each = {
    state = { target = "${azurerm_storage_account.this["state"].id}/blobServices/default", logs = ["StorageRead", "StorageWrite", "StorageDelete"] }
    vault = { target = azurerm_key_vault.this.id, logs = ["AuditEvent"] }
  }

  name               = "audit"
  target_resource_id = each.value.target
  storage_account_id = azurerm_storage_account.this["audit"].id

  dynamic "enabled_log" {
    for_each = each.value.logs
    content {
      category = enabled_log.value
    }
  }
}
