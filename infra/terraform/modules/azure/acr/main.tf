# The registry of one cloud: no password, no anonymous pull, encrypted with the customer's key, reachable
# from inside the network only. Pipelines push from inside, too, for example from runners in the cluster.
#
# Azure has no switch that makes all tags immutable, as ECR has. Deployments name a digest, the charts refuse `latest`,
# and the pipeline locks a release: az acr repository update --image NAME:TAG --write-enabled false.
# Defender scans pushed images; global/security switches it on for the subscription.
resource "azurerm_container_registry" "this" {
  name                          = var.registry_name
  resource_group_name           = var.resource_group.name
  location                      = var.resource_group.location
  sku                           = "Premium" # private endpoints, own keys and replicas are in no smaller one
  admin_enabled                 = false
  anonymous_pull_enabled        = false
  public_network_access_enabled = false
  export_policy_enabled         = false
  data_endpoint_enabled         = true
  zone_redundancy_enabled       = true
  quarantine_policy_enabled     = false # it would hide images until a scanner of one's own releases them
  retention_policy_in_days      = 30    # manifests without a tag
  network_rule_bypass_option    = "AzureServices"
  tags                          = var.tags

  identity {
    type         = "UserAssigned"
    identity_ids = [var.encryption.identity_id]
  }
  encryption {
    key_vault_key_id   = var.encryption.id
    identity_client_id = var.encryption.identity_client_id
  }

  dynamic "georeplications" {
    for_each = var.replicas
    content {
      location                  = georeplications.value
      zone_redundancy_enabled   = true
      regional_endpoint_enabled = true
      tags                      = var.tags
    }
  }
}

resource "azurerm_role_assignment" "pull" {
  for_each = var.pullers

  scope                = azurerm_container_registry.this.id
  role_definition_name = "AcrPull"
  principal_id         = each.value
  principal_type       = "ServicePrincipal"
}

resource "azurerm_role_assignment" "push" {
  for_each = var.pushers

  scope                = azurerm_container_registry.this.id
  role_definition_name = "AcrPush"
  principal_id         = each.value
  principal_type       = "ServicePrincipal"
}

module "private_endpoint" {
  source = "../private-endpoint"

  name           = var.name
  resource_group = var.resource_group
  service        = { id = azurerm_container_registry.this.id, part = "registry" }
  zone           = "privatelink.azurecr.io"
  network        = var.network
  tags           = var.tags
}

resource "azurerm_monitor_diagnostic_setting" "this" {
  name               = "audit"
  target_resource_id = azurerm_container_registry.this.id
  storage_account_id = var.log_storage_account_id

  dynamic "enabled_log" {
    for_each = ["ContainerRegistryLoginEvents", "ContainerRegistryRepositoryEvents"]
    content {
      category = enabled_log.value
    }
  }
}
