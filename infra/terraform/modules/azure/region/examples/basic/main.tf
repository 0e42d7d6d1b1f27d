# A development environment.
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

module "region" {
  source              = "../.."
  environment         = "development"
  location            = "southeastasia"
  addresses           = { network = "10.230.0.0/16", pods = "100.69.0.0/17", services = "100.69.128.0/20" }
  owner               = "platform"
  suffix              = "d1"
  runner_addresses    = ["192.0.2.1"]
  publisher           = "00000000-0000-0000-0000-0000000000c1"
  edge_egress_cidrs   = ["198.51.100.72/30"]
  cache_sku           = "Balanced_B1"
  ddos_protection     = "VirtualNetworkInherited"
  deletion_protection = false
  cluster             = { kubernetes_version = "1.37", paid_sla = false }
  database            = { retention_in_days = 7 }
  groups = {
    cluster  = "00000000-0000-0000-0000-0000000000d1"
    database = { object_id = "00000000-0000-0000-0000-0000000000e1", name = "thalweg-development-database" }
  }
}
