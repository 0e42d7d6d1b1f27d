# A staging environment: production at a smaller size.
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
  source            = "../.."
  environment       = "staging"
  location          = "southeastasia"
  addresses         = { network = "10.130.0.0/16", pods = "100.67.0.0/17", services = "100.67.128.0/20" }
  owner             = "platform"
  suffix            = "s1"
  publisher         = "00000000-0000-0000-0000-0000000000c1"
  edge_egress_cidrs = ["198.51.100.72/30"]
  cache_sku         = "Balanced_B1"
  ddos_protection   = "VirtualNetworkInherited"
  cluster           = { kubernetes_version = "1.36" }
  backup_region     = "eastasia"
  groups = {
    cluster  = "00000000-0000-0000-0000-0000000000d1"
    database = { object_id = "00000000-0000-0000-0000-0000000000e1", name = "thalweg-staging-database" }
  }
}
