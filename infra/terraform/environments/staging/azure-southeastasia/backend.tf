# State of this environment: its own container, opened by the pipeline's identity of this environment. The blob's lease is
# the lock.
terraform {
  backend "azurerm" {
    resource_group_name  = "thalweg-terraform"
    storage_account_name = "thalwegstate"
    container_name       = "staging"
    key                  = "azure-southeastasia.tfstate"
    use_azuread_auth     = true
    use_oidc             = true
  }
}
