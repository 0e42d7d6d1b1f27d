# The roles, for policies of other resources.

output "roles" {
  description = "ARN of each workload's role, by workload."
  value       = { for name, role in aws_iam_role.this : name => role.arn }
}
