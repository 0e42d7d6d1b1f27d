# Values for stores and workloads.
output "id" {
  description = "The vault."
  value       = azurerm_key_vault.this.id
}

output "uri" {
  description = "Address of the vault, for externalSecret.azure.vaultUrl of the charts."
  value       = azurerm_key_vault.this.vault_uri
}

output "keys" {
  description = "Keys by purpose: id without version (stores follow the newest), id with version, and the identity that may use it."
  value = {
    for key in keys(var.keys) : key => {
      id                 = azapi_resource_action.key[key].output.properties.keyUri
      versioned_id       = azapi_resource_action.key[key].output.properties.keyUriWithVersion
      identity_id        = azurerm_user_assigned_identity.this[key].id
      identity_client_id = azurerm_user_assigned_identity.this[key].client_id
    }
  }
  # Stores must wait until their identity may use the key.
  depends_on = [azurerm_role_assignment.key]
}

output "tenant_id" {
  description = "Entra tenant of the vault, for externalSecret.azure.tenantId of the charts."
  value       = azurerm_key_vault.this.tenant_id
}
