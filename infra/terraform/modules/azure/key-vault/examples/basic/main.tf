# The vault of a development environment, open to one runner outside the network.
provider "azurerm" {
  features {}
}

module "key_vault" {
  source           = "../.."
  name             = "thalweg-development"
  resource_group   = { name = "thalweg-development", location = "southeastasia" }
  runner_addresses = ["192.0.2.1"]
  tags             = { environment = "development", owner = "platform" }
}
