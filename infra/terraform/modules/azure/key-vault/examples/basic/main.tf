# The vault of a development environment.
terraform {
  required_providers {
    azapi = {
      source  = "azure/azapi"
      version = "~> 2.5"
    }
  }
}

provider "azurerm" {
  features {}
}

provider "azapi" {}

module "key_vault" {
  source         = "../.."
  name           = "thalweg-development"
  resource_group = { name = "thalweg-development", location = "southeastasia" }
  tags           = { environment = "development", owner = "platform" }
}
