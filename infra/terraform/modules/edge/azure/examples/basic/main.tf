# One IPv4 address for the edges of a development environment, none for the application.
provider "azurerm" {
  features {}
}

terraform {
  required_version = ">= 1.11"
  required_providers {
    azurerm = {
      source  = "hashicorp/azurerm"
      version = "~> 4.79"
    }
  }
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
