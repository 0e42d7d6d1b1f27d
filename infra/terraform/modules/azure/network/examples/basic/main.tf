# The network of one region: addresses of the edges first, then the network that lets clients reach them.
provider "azurerm" {
  features {}
  storage_use_azuread = true
}

resource "azurerm_resource_group" "this" {
  name     = "thalweg-development"
  location = "southeastasia"
  tags     = { environment = "development", owner = "platform" }
}

module "network" {
  source            = "../.."
  name              = "thalweg-development"
  resource_group    = azurerm_resource_group.this
  address_space     = "10.230.0.0/16"
  pod_cidr          = "100.69.0.0/17"
  edge_addresses    = ["192.0.2.10"]
  edge_egress_cidrs = ["192.0.2.64/30"]
  log_storage = {
    name              = "thalwegdevelopmentlogs"
    retention_in_days = 90
    key_vault_key_id  = "https://thalweg-development.vault.azure.net/keys/storage"
    identity_id       = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/thalweg-development/providers/Microsoft.ManagedIdentity/userAssignedIdentities/storage"
  }
  tags = azurerm_resource_group.this.tags
}
