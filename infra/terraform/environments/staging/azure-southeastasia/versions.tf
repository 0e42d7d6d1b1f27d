# Providers of one environment in one Azure region. azurerm reads subscription and login from variables and from OIDC.
terraform {
  required_version = ">= 1.11"
  required_providers {
    azurerm = {
      source  = "hashicorp/azurerm"
      version = "~> 4.79"
    }
    azapi = {
      source  = "azure/azapi"
      version = "~> 2.5"
    }
  }
}

provider "azurerm" {
  features {
    key_vault {
      purge_soft_delete_on_destroy = false
    }
    resource_group {
      prevent_deletion_if_contains_resources = true
    }
  }
  subscription_id     = var.subscription_id
  storage_use_azuread = true
  # Only what the modules use, so that terraform-provisioner needs no right to register the rest.
  resource_provider_registrations = "none"
  resource_providers_to_register = [
    "Microsoft.Cache", "Microsoft.Compute", "Microsoft.Consumption", "Microsoft.ContainerRegistry", "Microsoft.ContainerService",
    "Microsoft.DBforPostgreSQL", "Microsoft.Insights", "Microsoft.KeyVault", "Microsoft.ManagedIdentity",
    "Microsoft.Network", "Microsoft.Storage",
  ]
}

provider "azapi" {
  subscription_id = var.subscription_id
}
