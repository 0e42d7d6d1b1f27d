# How others name the key.

output "arn" {
  description = "ARN of the key."
  value       = aws_kms_key.this.arn
}

output "id" {
  description = "Identifier of the key."
  value       = aws_kms_key.this.key_id
}
