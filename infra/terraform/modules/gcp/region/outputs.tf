# What DNS, the charts, the pipeline and the other clouds are given.

output "edge_address" {
  description = "Clients' way to the edges, for DNS."
  value       = module.edge.address
}

output "edge_annotations" {
  description = "Annotations of the edge's Service."
  value       = module.edge.service_annotations
}

output "origin_addresses" {
  description = "Addresses of the application's releases, for the region's own name in DNS."
  value       = module.origin.addresses
}

output "egress_addresses" {
  description = "Addresses of this region's edges, for the other origins' allow-lists (other_edges)."
  value       = module.network.egress_addresses
}

output "cluster" {
  description = "Name of the cluster and DNS name of its control plane."
  value       = { name = module.gke.name, endpoint = module.gke.endpoint }
}

output "images" {
  description = "Prefix of the images' names, attestor and signing key."
  value       = { url = module.images.url, attestor = module.images.attestor, signing_key = module.images.signing_key }
}

output "accounts" {
  description = "Workloads' accounts, for the charts' serviceAccount.annotations."
  value       = module.iam.emails
}

output "stores" {
  description = "Where database and cache answer, inside the network."
  value       = { database = module.database.host, connection = module.database.connection_name, cache = module.cache.host }
}
