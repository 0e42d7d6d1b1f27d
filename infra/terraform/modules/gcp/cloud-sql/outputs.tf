# What the application is given.

output "host" {
  description = "Name of the database inside the network."
  value       = trimsuffix(google_sql_database_instance.this.dns_name, ".")
}

output "connection_name" {
  description = "What the Auth Proxy takes: PROJECT:REGION:NAME."
  value       = google_sql_database_instance.this.connection_name
}

output "replica" {
  description = "Name of the copy in the other region, null without one: `gcloud sql instances promote-replica NAME`."
  value       = one(google_sql_database_instance.replica[*].name)
}
