# What readers need.

output "arns" {
  description = "ARN of each secret, by name."
  value       = { for name, secret in aws_secretsmanager_secret.this : name => secret.arn }
}

output "key" {
  description = "Key under which they are encrypted: who reads a secret decrypts with it."
  value       = module.key.arn
}
