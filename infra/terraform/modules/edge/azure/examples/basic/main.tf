# One IPv4 address for the edges of a development environment, none for the application.
provider "azurerm" {
  features {}
}

module "edge" {
  source          = "../.."
  name            = "thalweg-development"
  resource_group  = { name = "thalweg-development", location = "southeastasia" }
  origin          = false
  dns_label       = "thalweg-development"
  ddos_protection = "VirtualNetworkInherited"
  tags            = { environment = "development", owner = "platform" }
}
