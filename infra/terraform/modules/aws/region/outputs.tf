# What DNS, the charts and other clouds are given.

output "cluster" {
  description = "Name of the cluster."
  value       = module.eks.name
}

output "edge_addresses" {
  description = "Fixed addresses of the edges, for `global/dns`."
  value       = module.edge.addresses
}

output "edge_annotations" {
  description = "For `service.annotations` of the edge's chart."
  value       = module.edge.annotations
}

output "origin_annotations" {
  description = "For `ingress.annotations` of the application's chart."
  value       = module.origin.annotations
}

output "egress_addresses" {
  description = "From where this region's edges send: for `edges.json` of the environment, and the other clouds' allow-lists."
  value       = module.network.nat_addresses
}

output "roles" {
  description = "Roles of workloads, for the service accounts' annotations."
  value       = module.iam.roles
}

output "stores" {
  description = "Addresses of the application's stores, null where there is none."
  value = {
    database   = one(module.rds[*].endpoint)
    cache      = one(module.elasticache[*].endpoint)
    redis_url  = one(module.elasticache[*].secret.name)
    opensearch = one(module.opensearch[*].endpoint)
  }
}

output "karpenter" {
  description = "Values for Karpenter and its node classes; nulls with Auto Mode."
  value = {
    instance_profile   = module.eks.instance_profile
    interruption_queue = module.eks.interruption_queue
    disk_key           = module.eks.disk_key
  }
}
