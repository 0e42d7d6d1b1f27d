# What the application is told; no password among it.

output "endpoint" {
  description = "Address of the primary."
  value       = aws_elasticache_replication_group.this.primary_endpoint_address
}

output "user" {
  description = "The application's user, for the rotation of its password: `cache` of a secret in `modules/aws/secrets`."
  value = {
    user_id   = aws_elasticache_user.application.user_id
    user_name = aws_elasticache_user.application.user_name
    endpoint  = aws_elasticache_replication_group.this.primary_endpoint_address
  }
}
