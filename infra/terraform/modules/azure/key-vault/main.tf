# The vault of one region: keys for everything stored, and the secrets that External Secrets hands to workloads.
#
# Each key has an identity of its own that may use that key alone, so a store that is broken into opens no other store.
# Terraform makes keys and never writes a secret: people do (bootstrap/azure names them), or the systems that own them.
data "azurerm_client_config" "this" {}

resource "azurerm_key_vault" "this" {
  name                          = var.name
  resource_group_name           = var.resource_group.name
  location                      = var.resource_group.location
  tenant_id                     = data.azurerm_client_config.this.tenant_id
  sku_name                      = "premium"
  rbac_authorization_enabled    = true
  purge_protection_enabled      = true
  soft_delete_retention_days    = 90
  public_network_access_enabled = length(var.runner_addresses) > 0
  tags                          = var.tags

  network_acls {
    default_action = "Deny"
    bypass         = "AzureServices" # disks, backups and stores unwrap their keys on this way
    ip_rules       = var.runner_addresses
  }
}

resource "azurerm_key_vault_key" "this" {
  for_each = var.keys

  name         = each.key
  key_vault_id = azurerm_key_vault.this.id
  key_type     = each.value
  key_size     = 3072
  # etcd is sealed by encrypting; all others wrap a key of their own.
  key_opts = each.key == "etcd" ? ["encrypt", "decrypt"] : ["wrapKey", "unwrapKey"]
  tags     = var.tags

  # Stores follow the newest version by themselves; etcd's encryption names a version and moves with the next apply.
  rotation_policy {
    expire_after         = "P2Y"
    notify_before_expiry = "P60D"
    automatic {
      time_after_creation = "P1Y"
    }
  }
}

resource "azurerm_user_assigned_identity" "this" {
  for_each = var.keys

  name                = "${var.name}-key-${each.key}"
  resource_group_name = var.resource_group.name
  location            = var.resource_group.location
  tags                = var.tags
}

resource "azurerm_role_assignment" "key" {
  for_each = var.keys

  scope                = azurerm_key_vault_key.this[each.key].resource_versionless_id
  role_definition_name = "Key Vault Crypto Service Encryption User"
  principal_id         = azurerm_user_assigned_identity.this[each.key].principal_id
  principal_type       = "ServicePrincipal"
}

module "private_endpoint" {
  source = "../private-endpoint"
  count  = var.network == null ? 0 : 1

  name           = var.name
  resource_group = var.resource_group
  service        = { id = azurerm_key_vault.this.id, part = "vault" }
  zone           = "privatelink.vaultcore.azure.net"
  network        = var.network
  tags           = var.tags
}

resource "azurerm_monitor_diagnostic_setting" "this" {
  count = var.log_storage == null ? 0 : 1

  name               = "audit"
  target_resource_id = azurerm_key_vault.this.id
  storage_account_id = var.log_storage.account_id

  enabled_log {
    category = "AuditEvent"
  }
}
