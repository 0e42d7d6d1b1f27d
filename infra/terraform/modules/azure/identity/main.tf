# Identities of workloads: a ServiceAccount's token is exchanged for one, so no pod holds a password or key. Each
# workload has its own identity, with the roles named here.
locals {
  roles = merge([
    for name, workload in var.workloads : {
      for index, right in workload.roles : "${name}-${index}" => merge(right, { workload = name })
    }
  ]...)
}

resource "azurerm_user_assigned_identity" "this" {
  for_each = var.workloads

  name                = "${var.name}-${each.key}"
  resource_group_name = var.resource_group.name
  location            = var.resource_group.location
  tags                = var.tags
}

resource "azurerm_federated_identity_credential" "this" {
  for_each = var.workloads

  name                      = "kubernetes"
  user_assigned_identity_id = azurerm_user_assigned_identity.this[each.key].id
  issuer                    = var.issuer
  audience                  = ["api://AzureADTokenExchange"]
  subject                   = "system:serviceaccount:${each.value.namespace}:${each.value.service_account}"
}

resource "azurerm_role_assignment" "this" {
  for_each = local.roles

  scope                = each.value.scope
  role_definition_name = each.value.role
  principal_id         = azurerm_user_assigned_identity.this[each.value.workload].principal_id
  principal_type       = "ServicePrincipal"
}
