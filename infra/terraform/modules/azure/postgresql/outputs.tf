# How applications reach the database.
output "id" {
  description = "The server."
  value       = azurerm_postgresql_flexible_server.this.id
}

output "host" {
  description = "Name of the server; it follows a failover."
  value       = azurerm_postgresql_flexible_server.this.fqdn
}

output "urls" {
  description = "DATABASE_URL by database, without user and password: the user is the identity's name, the password its token."
  value       = { for name in var.databases : name => "postgresql://${azurerm_postgresql_flexible_server.this.fqdn}:5432/${name}?sslmode=verify-full" }
}
