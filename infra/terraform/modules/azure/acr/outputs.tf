# Values for charts and pipelines.
output "id" {
  description = "The registry."
  value       = azurerm_container_registry.this.id
}

output "login_server" {
  description = "Host of image names, for image.repository of the charts."
  value       = azurerm_container_registry.this.login_server
}
