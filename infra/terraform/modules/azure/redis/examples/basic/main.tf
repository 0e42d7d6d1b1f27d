# A small cache that one workload uses.
provider "azurerm" {
  features {}
}

locals {
  scope = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/thalweg-development/providers"
  net   = "${local.scope}/Microsoft.Network/virtualNetworks/thalweg-development"
}

module "redis" {
  source         = "../.."
  name           = "thalweg-development"
  resource_group = { name = "thalweg-development", location = "southeastasia" }
  sku            = "Balanced_B1"
  users          = { fastapi-app = "00000000-0000-0000-0000-0000000000b1" }
  encryption = {
    id                 = "https://thalweg-development.vault.azure.net/keys/redis"
    identity_id        = "${local.scope}/Microsoft.ManagedIdentity/userAssignedIdentities/thalweg-development-key-redis"
    identity_client_id = "00000000-0000-0000-0000-000000000000"
  }
  network                = { subnet_id = "${local.net}/subnets/private-endpoints", virtual_network_id = local.net }
  log_storage_account_id = "${local.scope}/Microsoft.Storage/storageAccounts/thalwegdevelopmentlogs"
  tags                   = { environment = "development", owner = "platform" }
}
