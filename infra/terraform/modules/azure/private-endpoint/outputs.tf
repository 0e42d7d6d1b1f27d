# Nothing refers to an endpoint by its id but what has to wait for it.
output "id" {
  description = "The endpoint."
  value       = azurerm_private_endpoint.this.id
}
