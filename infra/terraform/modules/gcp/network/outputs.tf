# What other modules need of the network.

output "network" {
  description = "Id of the network. Private endpoints can be made once it is known."
  value       = google_compute_network.this.id

  # A cache that asks for an endpoint before the policy stands is refused.
  depends_on = [google_network_connectivity_service_connection_policy.cache]
}

output "private_subnet" {
  description = "Id of the subnet for nodes."
  value       = google_compute_subnetwork.private.id
}

output "public_subnet" {
  description = "Id of the subnet for machines that face clients."
  value       = google_compute_subnetwork.public.id
}

output "endpoints_subnet" {
  description = "Id of the subnet for private endpoints."
  value       = google_compute_subnetwork.endpoints.id
}

output "pods_range" {
  description = "Name of the secondary range of pods."
  value       = "pods"
}

output "services_range" {
  description = "Name of the secondary range of Services."
  value       = "services"
}

output "egress_tag" {
  description = "Network tag that gives a node its way out through NAT."
  value       = local.egress_tag
}

output "public_tag" {
  description = "Network tag of machines that face clients."
  value       = local.public_tag
}

output "egress_addresses" {
  description = "Addresses under which this region's edges reach other clouds, as /32: they belong on every origin's allow-list."
  value       = [for address in google_compute_address.egress : "${address.address}/32"]
}
