# The key of the state, in a vault that serves nothing else.
resource "azurerm_key_vault" "this" {
  name                          = var.accounts.vault
  resource_group_name           = azurerm_resource_group.this.name
  location                      = var.location
  tenant_id                     = data.azurerm_client_config.this.tenant_id
  sku_name                      = "premium" # keys live in a hardware module
  rbac_authorization_enabled    = true
  purge_protection_enabled      = true
  soft_delete_retention_days    = 90
  public_network_access_enabled = true # to the runners below, and to no other
  tags                          = var.tags

  network_acls {
    default_action = "Deny"
    bypass         = "AzureServices"
    ip_rules       = var.runner_addresses
  }
}

resource "azurerm_key_vault_key" "this" {
  name         = "terraform-state"
  key_vault_id = azurerm_key_vault.this.id
  key_type     = "RSA-HSM"
  key_size     = 3072
  key_opts     = ["wrapKey", "unwrapKey"]
  tags         = var.tags

  rotation_policy {
    expire_after         = "P2Y"
    notify_before_expiry = "P60D"
    automatic {
      time_after_creation = "P1Y"
    }
  }
  depends_on = [azurerm_role_assignment.administrators]
}

resource "azurerm_user_assigned_identity" "storage" {
  name                = "thalweg-terraform-storage"
  resource_group_name = azurerm_resource_group.this.name
  location            = var.location
  tags                = var.tags
}

resource "azurerm_role_assignment" "storage_key" {
  scope                = azurerm_key_vault.this.id
  role_definition_name = "Key Vault Crypto Service Encryption User"
  principal_id         = azurerm_user_assigned_identity.storage.principal_id
  principal_type       = "ServicePrincipal"
}

resource "azurerm_role_assignment" "administrators" {
  scope                = azurerm_key_vault.this.id
  role_definition_name = "Key Vault Crypto Officer"
  principal_id         = var.administrators
  principal_type       = "Group"
}
