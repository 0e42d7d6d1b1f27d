# What DNS, the charts and the other clouds are given.

output "edge_values" {
  description = "Values file of the chart thalweg-edge, after values-gcp.yaml."
  value       = module.region.edge_values
}

output "app_values" {
  description = "Values file of the chart fastapi-app, after values-gcp.yaml."
  value       = module.region.app_values
}

output "egress_addresses" {
  description = "Addresses of this place's edges, for the other places' allow-lists."
  value       = module.region.egress_addresses
}

output "addresses" {
  description = "For DNS: clients' way to the edges, and the origins' addresses by release."
  value       = { edge = module.region.edge_address, origins = module.region.origin_addresses }
}

output "cluster" {
  description = "Name of the cluster and DNS name of its control plane."
  value       = module.region.cluster
}

output "stores" {
  description = "Where database and cache answer, inside the network."
  value       = module.region.stores
}

output "images" {
  description = "Prefix of the images' names, attestor and signing key, for the pipeline."
  value       = module.region.images
}
