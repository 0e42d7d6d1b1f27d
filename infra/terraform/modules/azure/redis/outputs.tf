# How applications reach the cache.
output "id" {
  description = "The cache."
  value       = azurerm_managed_redis.this.id
}

output "url" {
  description = "REDIS_URL without user and password: the user is the identity's object id, the password its token."
  value       = "rediss://${azurerm_managed_redis.this.hostname}:${azurerm_managed_redis.this.default_database[0].port}"
}
