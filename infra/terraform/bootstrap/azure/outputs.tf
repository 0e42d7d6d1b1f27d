# Values for environments and workflows. None of them is secret.
output "backend" {
  description = "Backend of each environment, for its backend.tf."
  value = {
    for environment in keys(var.environments) : environment => {
      resource_group_name  = azurerm_resource_group.this.name
      storage_account_name = azurerm_storage_account.this["state"].name
      container_name       = azurerm_storage_container.state[environment].name
      use_azuread_auth     = true
      use_oidc             = true
    }
  }
}

output "client_ids" {
  description = "Client id per environment and stage, for the workflow's AZURE_CLIENT_ID. An id is no secret."
  value       = { for key, identity in azurerm_user_assigned_identity.pipeline : key => identity.client_id }
}

output "principal_ids" {
  description = "Object id per environment and stage: that of `publish` goes to module azure/acr as a pusher."
  value       = { for key, identity in azurerm_user_assigned_identity.pipeline : key => identity.principal_id }
}

output "subjects" {
  description = "Subject that GitHub's token must carry, per environment and stage."
  value       = { for key, of in local.stages : key => of.subject }
}
