# State storage and pipeline identities: both must exist before Terraform keeps state and before a pipeline logs in.
#
# Order: a person applies this folder with local state, writes the output `backend` to backend.tf, and moves the state
# with `terraform init -migrate-state`. Nothing here holds a long-lived key: people and pipelines log in through Entra.
provider "azurerm" {
  features {
    key_vault {
      # A key that encrypts state is never purged with the configuration that made it.
      purge_soft_delete_on_destroy = false
    }
  }
  subscription_id     = var.subscription_id
  storage_use_azuread = true
}

provider "azapi" {
  subscription_id = var.subscription_id
}

data "azurerm_client_config" "this" {}

resource "azurerm_resource_group" "this" {
  name     = "thalweg-terraform"
  location = var.location
  tags     = var.tags
}

resource "azurerm_management_lock" "this" {
  name       = "state-stays"
  scope      = azurerm_resource_group.this.id
  lock_level = "CanNotDelete"
  notes      = "Without this state terraform no longer knows what it owns."
}
