# The application reads one secret, the edge another.
provider "azurerm" {
  features {}
}

locals {
  vault = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/thalweg-development/providers/Microsoft.KeyVault/vaults/thalweg-development"
}

module "identity" {
  source         = "../.."
  name           = "thalweg-development"
  resource_group = { name = "thalweg-development", location = "southeastasia" }
  issuer         = "https://southeastasia.oic.prod-aks.azure.com/00000000-0000-0000-0000-000000000000/"
  workloads = {
    fastapi-app = {
      namespace       = "apps"
      service_account = "fastapi-app"
      roles           = [{ role = "Key Vault Secrets User", scope = "${local.vault}/secrets/fastapi-app" }]
    }
    thalweg-edge = {
      namespace       = "edges"
      service_account = "thalweg-edge"
      roles           = [{ role = "Key Vault Secrets User", scope = "${local.vault}/secrets/thalweg-edge" }]
    }
  }
  tags = { environment = "development", owner = "platform" }
}
