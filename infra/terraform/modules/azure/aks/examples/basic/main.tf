# A cluster with one small pool.
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

locals {
  scope = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/thalweg-development"
  vault = "${local.scope}/providers/Microsoft.KeyVault/vaults/thalweg-development"
  net   = "${local.scope}/providers/Microsoft.Network/virtualNetworks/thalweg-development/subnets"
}

module "aks" {
  source          = "../.."
  name            = "thalweg-development"
  resource_group  = { name = "thalweg-development", location = "southeastasia" }
  subnet_ids      = { nodes = "${local.net}/nodes", api_server = "${local.net}/api-server" }
  ranges          = { pods = "100.69.0.0/17", services = "100.69.128.0/20" }
  node_pools      = { apps = { vm_size = "Standard_D2ads_v5", max = 5 } }
  admin_group_ids = ["00000000-0000-0000-0000-000000000000"]
  encryption = {
    etcd_key_id      = "https://thalweg-development.vault.azure.net/keys/etcd/0123456789abcdef0123456789abcdef"
    disk_key_id      = "https://thalweg-development.vault.azure.net/keys/disks"
    disk_identity_id = "${local.scope}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/thalweg-development-key-disks"
    vault_id         = local.vault
  }
  public_ip_scope        = local.scope
  log_storage_account_id = "${local.scope}/providers/Microsoft.Storage/storageAccounts/thalwegdevelopmentlogs"
  tags                   = { environment = "development", owner = "platform" }
}
