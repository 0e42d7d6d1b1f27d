# The id, for resources that wait for the endpoint.
output "id" {
  description = "The endpoint."
  value       = azurerm_private_endpoint.this.id
}
