# What pipelines and other modules need of the cluster.

output "name" {
  description = "Name of the cluster: `gcloud container clusters get-credentials NAME --location REGION --dns-endpoint`."
  value       = google_container_cluster.this.name
}

output "id" {
  description = "Id of the cluster."
  value       = google_container_cluster.this.id
}

output "endpoint" {
  description = "DNS name of the control plane."
  value       = google_container_cluster.this.control_plane_endpoints_config[0].dns_endpoint_config[0].endpoint
}

output "workload_pool" {
  description = "Pool of the identities that pods get."
  value       = "${var.project_id}.svc.id.goog"

  # Google makes the pool with the project's first cluster. Until then no account can be bound to it.
  depends_on = [google_container_cluster.this]
}

output "node_account" {
  description = "Account of the nodes, as an IAM member: it needs to read the repositories of images."
  value       = google_service_account.nodes.member
}
