# Values for charts and stores.
output "client_ids" {
  description = "Client ids by workload, for serviceAccount.annotations[azure.workload.identity/client-id] of the charts."
  value       = { for name, identity in azurerm_user_assigned_identity.this : name => identity.client_id }
}

output "principals" {
  description = "Object id and name by workload: PostgreSQL and Redis know the identity by these."
  value       = { for name, identity in azurerm_user_assigned_identity.this : name => { object_id = identity.principal_id, name = identity.name } }
}
