# What the charts and the other modules are given.

output "members" {
  description = "The accounts as IAM members, by workload."
  value       = { for name, account in google_service_account.this : name => account.member }
}

output "emails" {
  description = "The accounts' addresses, by workload, for the annotation iam.gke.io/gcp-service-account."
  value       = { for name, account in google_service_account.this : name => account.email }
}

output "database_users" {
  description = "The accounts' names in a PostgreSQL database, by workload: the address without its last part."
  value       = { for name, account in google_service_account.this : name => trimsuffix(account.email, ".gserviceaccount.com") }
}
