# Azure: deny policies, and Defender for the services in use.
locals {
  scope = var.azure == null ? null : "/subscriptions/${var.azure.subscription_id}"

  # Each policy refuses one login that bypasses Entra, or one clear-text protocol.
  denied = { for key, rule in {
    registry-admin      = { type = "Microsoft.ContainerRegistry/registries", field = "Microsoft.ContainerRegistry/registries/adminUserEnabled", wrong = { equals = "true" }, text = "A registry has no administrator's password." }
    cluster-local-users = { type = "Microsoft.ContainerService/managedClusters", field = "Microsoft.ContainerService/managedClusters/disableLocalAccounts", wrong = { notEquals = "true" }, text = "A cluster has no local accounts." }
    storage-tls         = { type = "Microsoft.Storage/storageAccounts", field = "Microsoft.Storage/storageAccounts/minimumTlsVersion", wrong = { notIn = ["TLS1_2", "TLS1_3"] }, text = "A storage account takes TLS 1.2 or newer." }
    storage-public      = { type = "Microsoft.Storage/storageAccounts", field = "Microsoft.Storage/storageAccounts/allowBlobPublicAccess", wrong = { notEquals = "false" }, text = "A storage account has no public blobs." }
    vault-purge         = { type = "Microsoft.KeyVault/vaults", field = "Microsoft.KeyVault/vaults/enablePurgeProtection", wrong = { notEquals = "true" }, text = "A vault cannot be purged." }
  } : key => rule if var.azure != null }

  defender = { for type, subplan in {
    Arm                           = null
    Containers                    = null
    KeyVaults                     = "PerKeyVault"
    OpenSourceRelationalDatabases = null
    StorageAccounts               = "DefenderForStorageV2"
  } : type => subplan if var.azure != null }
}

resource "azurerm_policy_definition" "denied" {
  for_each = local.denied

  name         = "${var.name}-${each.key}"
  display_name = each.value.text
  policy_type  = "Custom"
  mode         = "All"
  policy_rule = jsonencode({
    "if" = {
      allOf = [
        { field = "type", equals = each.value.type },
        merge({ field = each.value.field }, each.value.wrong),
      ]
    }
    "then" = { effect = "deny" }
  })
}

resource "azurerm_subscription_policy_assignment" "denied" {
  for_each = local.denied

  name                 = each.key
  display_name         = each.value.text
  subscription_id      = local.scope
  policy_definition_id = azurerm_policy_definition.denied[each.key].id
  non_compliance_message {
    content = "${each.value.text} See infra/terraform/global/security."
  }
}

resource "azurerm_policy_definition" "locations" {
  count = var.azure == null ? 0 : 1

  name         = "${var.name}-locations"
  display_name = "Resources are in known locations."
  policy_type  = "Custom"
  mode         = "Indexed"
  policy_rule = jsonencode({
    "if"   = { field = "location", notIn = concat(sort(var.azure.locations), ["global"]) }
    "then" = { effect = "deny" }
  })
}

resource "azurerm_subscription_policy_assignment" "locations" {
  count = var.azure == null ? 0 : 1

  name                 = "locations"
  display_name         = "Resources are in known locations."
  subscription_id      = local.scope
  policy_definition_id = azurerm_policy_definition.locations[0].id
}

resource "azurerm_security_center_subscription_pricing" "this" {
  for_each = local.defender

  tier          = "Standard"
  resource_type = each.key
  subplan       = each.value

  # Images are scanned when they are pushed, and again while they run.
  dynamic "extension" {
    for_each = each.key == "Containers" ? ["ContainerRegistriesVulnerabilityAssessments", "AgentlessDiscoveryForKubernetes", "ContainerSensor"] : []
    content {
      name = extension.value
    }
  }
}

resource "azurerm_security_center_contact" "this" {
  count = var.azure == null ? 0 : 1

  name                = "default"
  email               = var.azure.contact
  phone               = var.azure.phone
  alert_notifications = true
  alerts_to_admins    = true
}
