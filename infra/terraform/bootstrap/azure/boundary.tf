# terraform-provisioner: the rights of `apply` and their limit. Azure has no permissions boundary like AWS's. Two things
# replace it: a role that names services, and a condition that limits which roles `apply` may assign, and to which principals.

locals {
  applies = { for key, of in local.stages : of.environment => merge(of, { key = key }) if of.stage == "apply" }

  # The roles that the modules assign. None of them can assign roles.
  assignable = toset([
    "AcrPull", "AcrPush", "DNS Zone Contributor", "Key Vault Contributor", "Key Vault Crypto Service Encryption User",
    "Key Vault Crypto User", "Key Vault Secrets User", "Managed Identity Operator", "Network Contributor", "Reader",
  ])
}

resource "azurerm_role_definition" "provisioner" {
  for_each = local.applies

  name        = "terraform-provisioner-${each.key}"
  scope       = each.value.subscription
  description = "Manages the resources that infra/terraform describes, and nothing else."

  permissions {
    actions = [
      "Microsoft.Authorization/*/read",
      "Microsoft.Authorization/locks/*",
      "Microsoft.Cache/*",
      "Microsoft.Compute/diskEncryptionSets/*",
      "Microsoft.Compute/virtualMachines/*",
      "Microsoft.Compute/disks/*",
      "Microsoft.Consumption/budgets/*",
      "Microsoft.ContainerRegistry/*",
      "Microsoft.ContainerService/*",
      "Microsoft.DBforPostgreSQL/*",
      "Microsoft.Insights/*",
      "Microsoft.KeyVault/*",
      "Microsoft.ManagedIdentity/*",
      "Microsoft.Network/*",
      "Microsoft.Resources/*",
      "Microsoft.Storage/*",
    ]
    not_actions = [
      # The pipeline cannot purge a deleted vault.
      "Microsoft.KeyVault/locations/deletedVaults/purge/action",
      # Subscriptions and their policies belong to the organisation.
      "Microsoft.Resources/subscriptions/write",
      "Microsoft.Resources/subscriptions/delete",
      # Credentials of the cluster's administrator and of the registry bypass Entra.
      "Microsoft.ContainerService/managedClusters/listClusterAdminCredential/action",
      "Microsoft.ContainerRegistry/registries/listCredentials/action",
    ]
  }
  assignable_scopes = [each.value.subscription]
}

resource "azurerm_role_assignment" "provisioner" {
  for_each = local.applies

  scope              = each.value.subscription
  role_definition_id = azurerm_role_definition.provisioner[each.key].role_definition_resource_id
  principal_id       = azurerm_user_assigned_identity.pipeline[each.value.key].principal_id
  principal_type     = "ServicePrincipal"
}

# People write secrets. The pipeline cannot assign this role.
resource "azurerm_role_assignment" "secrets" {
  for_each = var.environments

  scope                = "/subscriptions/${each.value.subscription_id}"
  role_definition_name = "Key Vault Secrets Officer"
  principal_id         = var.administrators
  principal_type       = "Group"
}

data "azurerm_role_definition" "assignable" {
  for_each = local.assignable
  name     = each.key
}

# `apply` may assign the roles above to service principals only: never to people, and never a role that can assign roles.
resource "azurerm_role_assignment" "boundary" {
  for_each = local.applies

  scope                = each.value.subscription
  role_definition_name = "Role Based Access Control Administrator"
  principal_id         = azurerm_user_assigned_identity.pipeline[each.value.key].principal_id
  principal_type       = "ServicePrincipal"
  condition_version    = "2.0"
  condition            = local.boundary
}

locals {
  guids = join(", ", [for role in data.azurerm_role_definition.assignable : basename(role.id)])

  boundary = trimspace(<<-EOT
    (
      (!(ActionMatches{'Microsoft.Authorization/roleAssignments/write'}))
      OR
      (@Request[Microsoft.Authorization/roleAssignments:RoleDefinitionId] ForAnyOfAnyValues:GuidEquals {${local.guids}}
       AND @Request[Microsoft.Authorization/roleAssignments:PrincipalType] ForAnyOfAnyValues:StringEqualsIgnoreCase {'ServicePrincipal'})
    )
    AND
    (
      (!(ActionMatches{'Microsoft.Authorization/roleAssignments/delete'}))
      OR
      (@Resource[Microsoft.Authorization/roleAssignments:RoleDefinitionId] ForAnyOfAnyValues:GuidEquals {${local.guids}})
    )
  EOT
  )
}
