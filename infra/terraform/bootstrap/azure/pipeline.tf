# The pipeline's identities in each environment: `plan` reads, `apply` is terraform-provisioner, `publish` pushes to the registry
# (module azure/acr lets it) and may do nothing else. GitHub's token is exchanged only if it names this repository and
# that environment, so approvals of a GitHub environment guard the identity.

locals {
  stages = merge([
    for environment, of in var.environments : {
      for stage in ["plan", "apply", "publish"] : "${environment}-${stage}" => {
        environment  = environment
        stage        = stage
        subscription = "/subscriptions/${of.subscription_id}"
        # Plans and pushes run without approval, so each has a GitHub environment of its own.
        subject = "repo:${var.repository}:environment:${stage == "apply" ? environment : "${environment}-${stage}"}"
      }
    }
  ]...)

  names = { plan = "terraform-plan", apply = "terraform-provisioner", publish = "publish" }
}

resource "azurerm_user_assigned_identity" "pipeline" {
  for_each = local.stages

  name                = "${local.names[each.value.stage]}-${each.value.environment}"
  resource_group_name = azurerm_resource_group.this.name
  location            = var.location
  tags                = merge(var.tags, { environment = each.value.environment })
}

resource "azurerm_federated_identity_credential" "pipeline" {
  for_each = local.stages

  name                      = "github"
  user_assigned_identity_id = azurerm_user_assigned_identity.pipeline[each.key].id
  issuer                    = "https://token.actions.githubusercontent.com"
  audience                  = ["api://AzureADTokenExchange"]
  subject                   = each.value.subject
}

# A plan reads resources, but no secret, key or blob. boundary.tf holds the rights of `apply`.
resource "azurerm_role_assignment" "plan" {
  for_each = { for key, of in local.stages : key => of if of.stage == "plan" }

  scope                = each.value.subscription
  role_definition_name = "Reader"
  principal_id         = azurerm_user_assigned_identity.pipeline[each.key].principal_id
  principal_type       = "ServicePrincipal"
}

# A plan takes no lock (`-lock=false`): it reads its own environment's state and writes nothing.
resource "azurerm_role_assignment" "state" {
  for_each = { for key, of in local.stages : key => of if of.stage != "publish" }

  scope                = azurerm_storage_container.state[each.value.environment].id
  role_definition_name = each.value.stage == "plan" ? "Storage Blob Data Reader" : "Storage Blob Data Contributor"
  principal_id         = azurerm_user_assigned_identity.pipeline[each.key].principal_id
  principal_type       = "ServicePrincipal"
}
