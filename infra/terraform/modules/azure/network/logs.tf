# The storage account for flow logs and cluster logs: encrypted with the customer's key, closed to all networks except
# Azure's own log writers. A Log Analytics workspace would need a dedicated cluster before it takes a customer's key.

locals {
  watcher = coalesce(var.network_watcher, {
    name                = "NetworkWatcher_${local.location}"
    resource_group_name = "NetworkWatcherRG"
  })
}

resource "azurerm_storage_account" "logs" {
  name                              = var.log_storage.name
  resource_group_name               = local.group
  location                          = local.location
  account_tier                      = "Standard"
  account_replication_type          = "GZRS" # a lost region leaves its evidence
  min_tls_version                   = "TLS1_2"
  infrastructure_encryption_enabled = true
  https_traffic_only_enabled        = true
  allow_nested_items_to_be_public   = false
  cross_tenant_replication_enabled  = false
  local_user_enabled                = false
  default_to_oauth_authentication   = true
  # Azure's flow log writer signs with the account's key, so keys stay enabled and networks are closed instead.
  shared_access_key_enabled = true
  tags                      = var.tags

  identity {
    type         = "UserAssigned"
    identity_ids = [var.log_storage.identity_id]
  }
  customer_managed_key {
    key_vault_key_id          = var.log_storage.key_vault_key_id
    user_assigned_identity_id = var.log_storage.identity_id
  }
  network_rules {
    default_action = "Deny"
    bypass         = ["AzureServices"]
  }
  blob_properties {
    versioning_enabled = true
    delete_retention_policy {
      days = 30
    }
    container_delete_retention_policy {
      days = 30
    }
  }
  sas_policy {
    expiration_period = "01.00:00:00"
    expiration_action = "Block"
  }
}

resource "azurerm_storage_management_policy" "logs" {
  storage_account_id = azurerm_storage_account.logs.id

  rule {
    name    = "expire"
    enabled = true
    filters {
      blob_types   = ["blockBlob", "appendBlob"]
      prefix_match = ["insights-logs-"]
    }
    actions {
      base_blob {
        delete_after_days_since_modification_greater_than = var.log_storage.retention_in_days
      }
      version {
        delete_after_days_since_creation = var.log_storage.retention_in_days
      }
    }
  }
}

resource "azurerm_network_watcher_flow_log" "this" {
  name                 = var.name
  network_watcher_name = local.watcher.name
  resource_group_name  = local.watcher.resource_group_name
  location             = local.location
  target_resource_id   = azurerm_virtual_network.this.id
  storage_account_id   = azurerm_storage_account.logs.id
  enabled              = true
  version              = 2
  tags                 = var.tags

  retention_policy {
    enabled = true
    days    = var.log_storage.retention_in_days
  }
}
