# A database whose backups are copied to the paired region, under a key of that region.
provider "azurerm" {
  features {}
}

locals {
  scope = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/thalweg-development/providers"
  net   = "${local.scope}/Microsoft.Network/virtualNetworks/thalweg-development"
}

module "postgresql" {
  source         = "../.."
  name           = "thalweg-development"
  resource_group = { name = "thalweg-development", location = "southeastasia" }
  backup = {
    geo_key_id      = "https://thalweg-development-geo.vault.azure.net/keys/postgresql"
    geo_identity_id = "${local.scope}/Microsoft.ManagedIdentity/userAssignedIdentities/thalweg-development-geo-key-postgresql"
  }
  administrators = { object_id = "00000000-0000-0000-0000-0000000000aa", name = "thalweg-database" }
  encryption = {
    id                 = "https://thalweg-development.vault.azure.net/keys/postgresql"
    identity_id        = "${local.scope}/Microsoft.ManagedIdentity/userAssignedIdentities/thalweg-development-key-postgresql"
    identity_client_id = "00000000-0000-0000-0000-000000000000"
  }
  network                = { subnet_id = "${local.net}/subnets/postgresql", virtual_network_id = local.net }
  log_storage_account_id = "${local.scope}/Microsoft.Storage/storageAccounts/thalwegdevelopmentlogs"
  tags                   = { environment = "development", owner = "platform" }
}
