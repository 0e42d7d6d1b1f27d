# What the pipeline and the environments' backends are given.

output "state_buckets" {
  description = "Bucket of each environment's state, for its backend."
  value       = { for environment, bucket in google_storage_bucket.state : environment => bucket.name }
}

output "workload_identity_provider" {
  description = "What google-github-actions/auth takes as workload_identity_provider."
  value       = google_iam_workload_identity_pool_provider.github.name
}

output "accounts" {
  description = "Accounts of the pipeline by environment and stage, such as production-apply. The environments take that of release as pipeline."
  value       = { for key, account in google_service_account.pipeline : key => account.email }
}

output "github_environments" {
  description = "GitHub environment in which a job runs to get each account. Those of apply and release need reviewers."
  value       = { for key, of in local.stages : key => of.github }
}

output "project_numbers" {
  description = "Numbers of the environments' projects, which the modules ask for. They are known once Google's agents exist."
  value       = { for environment, project in data.google_project.environment : environment => project.number }
  depends_on  = [google_project_service_identity.agent]
}
