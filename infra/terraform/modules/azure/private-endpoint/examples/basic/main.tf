# A vault's door into the network.
provider "azurerm" {
  features {}
}

locals {
  scope = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/thalweg-development/providers"
}

module "endpoint" {
  source         = "../.."
  name           = "thalweg-development"
  resource_group = { name = "thalweg-development", location = "southeastasia" }
  zone           = "privatelink.vaultcore.azure.net"
  service        = { id = "${local.scope}/Microsoft.KeyVault/vaults/thalweg-development", part = "vault" }
  network = {
    subnet_id          = "${local.scope}/Microsoft.Network/virtualNetworks/thalweg-development/subnets/private-endpoints"
    virtual_network_id = "${local.scope}/Microsoft.Network/virtualNetworks/thalweg-development"
  }
  tags = { environment = "development", owner = "platform" }
}
