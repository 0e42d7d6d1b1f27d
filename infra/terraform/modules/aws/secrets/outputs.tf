# What readers need.

output "arns" {
  description = "ARN of each secret, by name."
  value       = { for name, secret in aws_secretsmanager_secret.this : name => secret.arn }
}

output "key" {
  description = "Key that encrypts them: readers of a secret need kms:Decrypt on it."
  value       = module.key.arn
}
