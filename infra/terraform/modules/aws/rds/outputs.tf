# What the application is told; no password among it.

output "endpoint" {
  description = "Address and port."
  value       = aws_db_instance.this.endpoint
}

output "arn" {
  description = "The database, for backup plans."
  value       = aws_db_instance.this.arn
}

output "login_arn" {
  description = "Resource for `rds-db:connect` in policies of IAM logins; append the database user."
  value       = "arn:${data.aws_partition.current.partition}:rds-db:${data.aws_region.current.region}:${split(":", aws_db_instance.this.arn)[4]}:dbuser:${aws_db_instance.this.resource_id}/"
}

output "master_secret" {
  description = "ARN of the secret with the master password, which RDS changes every week."
  value       = aws_db_instance.this.master_user_secret[0].secret_arn
}
