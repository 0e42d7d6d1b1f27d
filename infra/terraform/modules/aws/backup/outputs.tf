# Where the copies are.

output "vaults" {
  description = "ARN of the vault here and of that in the other region."
  value       = { for place, vault in aws_backup_vault.this : place => vault.arn }
}
