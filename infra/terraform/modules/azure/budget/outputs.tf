# For whoever looks at the budget in the portal or by az.
output "id" {
  description = "Id of the budget."
  value       = azurerm_consumption_budget_subscription.this.id
}
