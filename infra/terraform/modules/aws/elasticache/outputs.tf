# What the application is told; no password among it.

output "endpoint" {
  description = "Address of the primary."
  value       = aws_elasticache_replication_group.this.primary_endpoint_address
}

output "secret" {
  description = "Name and ARN of the secret with REDIS_URL, and the key it needs."
  value       = { name = aws_secretsmanager_secret.url.name, arn = aws_secretsmanager_secret.url.arn, key = module.key.arn }
}
