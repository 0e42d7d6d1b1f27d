# What the charts and a rotator are given.

output "secrets" {
  description = "Full names of the secrets."
  value       = { for name, secret in google_secret_manager_secret.this : name => secret.name }
}

output "due_topic" {
  description = "Topic that tells which secret is due; a rotator subscribes to it."
  value       = google_pubsub_topic.due.id
}
