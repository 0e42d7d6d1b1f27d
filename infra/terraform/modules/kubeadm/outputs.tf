# What operators and the pipeline are given.

output "machines" {
  description = "Addresses of the machines inside the network."
  value       = { for key, machine in google_compute_instance.this : machine.name => local.machines[key].address }
}

output "ssh" {
  description = "How to reach the control plane."
  value       = "gcloud compute ssh ${google_compute_instance.this["control-plane"].name} --project ${var.project_id} --zone ${var.zone} --tunnel-through-iap"
}

output "snapshots" {
  description = "Bucket of etcd's snapshots."
  value       = "gs://${google_storage_bucket.snapshots.name}"
}
