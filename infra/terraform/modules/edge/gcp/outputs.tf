# What DNS and the chart are given.

output "address" {
  description = "The address, for DNS."
  value       = google_compute_address.this.address
}

output "service_annotations" {
  description = "Annotations of the chart's Service, which make GKE take this address for a passthrough balancer."
  value = {
    "cloud.google.com/l4-rbs"                      = "enabled"
    "networking.gke.io/load-balancer-ip-addresses" = google_compute_address.this.name
  }
}
