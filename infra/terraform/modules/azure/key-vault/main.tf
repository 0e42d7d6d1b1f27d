# The vault of one region: keys for everything stored, and the secrets that External Secrets hands to workloads.
#
# The vault is closed to the Internet. AKS requires this: its KMS plugin cannot use a vault whose firewall allows selected
# addresses. Each key has its own identity that may use that key only, so a compromised store cannot decrypt another one.
# Terraform creates keys and never writes a secret: the administrators in bootstrap/azure do.
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
  public_network_access_enabled = false
  tags                          = var.tags

  network_acls {
    default_action = "Deny"
    bypass         = "AzureServices" # disks, backups and stores unwrap their keys on this way
  }
}

# Azure's management API creates the keys, past the vault's firewall: the pipeline needs no network path into the vault and
# no right to use its keys. A PUT on an existing key changes nothing. A key is deleted only together with its vault.
resource "azapi_resource_action" "key" {
  for_each = var.keys

  type        = "Microsoft.KeyVault/vaults/keys@2023-07-01"
  resource_id = "${azurerm_key_vault.this.id}/keys/${each.key}"
  method      = "PUT"
  body = {
    tags = var.tags
    properties = merge(
      {
        kty        = "RSA-HSM"
        keySize    = 3072
        keyOps     = each.key == "etcd" ? ["encrypt", "decrypt"] : ["wrapKey", "unwrapKey"]
        attributes = { enabled = true }
      },
      { for argument, value in { rotationPolicy = local.rotation } : argument => value if each.value },
    )
  }
  response_export_values = ["properties.keyUri", "properties.keyUriWithVersion"]
}

locals {
  # Stores follow the newest version by themselves. AKS encrypts etcd with one fixed version and would fail at its expiry, so
  # operators rotate that key by hand and then rewrite all Secrets.
  rotation = {
    attributes = { expiryTime = "P2Y" }
    lifetimeActions = [
      { trigger = { timeAfterCreate = "P1Y" }, action = { type = "rotate" } },
      { trigger = { timeBeforeExpiry = "P60D" }, action = { type = "notify" } },
    ]
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

  scope                = azapi_resource_action.key[each.key].resource_id
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
