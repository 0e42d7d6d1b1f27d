# What environments and workflows are given.

output "backend" {
  description = "Values for `terraform init -backend-config`, besides the key."
  value       = { bucket = aws_s3_bucket.state["state"].id, region = local.region, kms_key_id = aws_kms_key.state["state"].arn }
}

output "boundary" {
  description = "ARN for every `permissions_boundary`."
  value       = aws_iam_policy.boundary.arn
}

output "roles" {
  description = "ARN of the roles that workflows take on."
  value       = { plan = aws_iam_role.plan.arn, apply = aws_iam_role.provisioner.arn, publish = aws_iam_role.publish.arn }
}
