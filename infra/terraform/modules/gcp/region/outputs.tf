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

# Made of names only, so that both are known before an apply.
locals {
  external_secrets = { gcp = { project = var.project_id, location = var.region, cluster = local.name } }
  accounts = { for name in ["fastapi-app", "thalweg-edge"] : name => {
    annotations = { "iam.gke.io/gcp-service-account" = "${name}@${var.project_id}.iam.gserviceaccount.com" }
  } }
}

output "edge_values" {
  description = "Values file of the chart thalweg-edge, to be given after values-gcp.yaml."
  value = yamlencode({
    region         = var.region
    image          = { repository = "${module.images.url}/thalweg" }
    service        = { annotations = module.edge.service_annotations }
    serviceAccount = local.accounts["thalweg-edge"]
    externalSecret = local.external_secrets
  })
}

output "app_values" {
  description = "Values file of the chart fastapi-app, to be given after values-gcp.yaml."
  value = yamlencode({
    region         = var.region
    image          = { repository = "${module.images.url}/fastapi-app" }
    serviceAccount = local.accounts["fastapi-app"]
    externalSecret = local.external_secrets
  })
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
