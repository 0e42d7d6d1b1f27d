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
  public_network_access_enabled = false
  tags                          = var.tags

  network_acls {
    default_action = "Deny"
    bypass         = "AzureServices" # storage unwraps its key on this way
  }
}

# The management API makes the key, as in modules/azure/key-vault, so the vault stays closed to all networks.
resource "azapi_resource_action" "key" {
  type        = "Microsoft.KeyVault/vaults/keys@2023-07-01"
  resource_id = "${azurerm_key_vault.this.id}/keys/terraform-state"
  method      = "PUT"
  body = {
    tags = var.tags
    properties = {
      kty        = "RSA-HSM"
      keySize    = 3072
      keyOps     = ["wrapKey", "unwrapKey"]
      attributes = { enabled = true }
      rotationPolicy = {
        attributes = { expiryTime = "P2Y" }
        lifetimeActions = [
          { trigger = { timeAfterCreate = "P1Y" }, action = { type = "rotate" } },
          { trigger = { timeBeforeExpiry = "P60D" }, action = { type = "notify" } },
        ]
      }
    }
  }
  response_export_values = ["properties.keyUri"]
}

resource "azurerm_user_assigned_identity" "storage" {
  name                = "thalweg-terraform-storage"
  resource_group_name = azurerm_resource_group.this.name
  location            = var.location
  tags                = var.tags
}

resource "azurerm_role_assignment" "storage_key" {
  scope                = azapi_resource_action.key.resource_id
  role_definition_name = "Key Vault Crypto Service Encryption User"
  principal_id         = azurerm_user_assigned_identity.storage.principal_id
  principal_type       = "ServicePrincipal"
}
