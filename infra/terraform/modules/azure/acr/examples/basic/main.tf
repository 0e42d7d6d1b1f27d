# A registry that one pipeline inside the network pushes to and one cluster pulls from.
provider "azurerm" {
  features {}
}

locals {
  scope = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/thalweg-development/providers"
  net   = "${local.scope}/Microsoft.Network/virtualNetworks/thalweg-development"
}

module "acr" {
  source         = "../.."
  name           = "thalweg-development"
  resource_group = { name = "thalweg-development", location = "southeastasia" }
  registry_name  = "thalwegdevelopment"
  pullers        = { aks = "00000000-0000-0000-0000-0000000000a1" }
  pushers        = { pipeline = "00000000-0000-0000-0000-0000000000a2" }
  encryption = {
    id                 = "https://thalweg-development.vault.azure.net/keys/registry"
    identity_id        = "${local.scope}/Microsoft.ManagedIdentity/userAssignedIdentities/thalweg-development-key-registry"
    identity_client_id = "00000000-0000-0000-0000-000000000000"
  }
  network                = { subnet_id = "${local.net}/subnets/private-endpoints", virtual_network_id = local.net }
  log_storage_account_id = "${local.scope}/Microsoft.Storage/storageAccounts/thalwegdevelopmentlogs"
  tags                   = { environment = "development", owner = "platform" }
}
