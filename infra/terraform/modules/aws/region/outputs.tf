# What DNS, the charts and other clouds are given.

output "cluster" {
  description = "Name of the cluster."
  value       = module.eks.name
}

output "edge_addresses" {
  description = "Fixed addresses of the edges, for `global/dns`."
  value       = module.edge.addresses
}

output "edge_values" {
  description = "Values file for the chart thalweg-edge, after values-aws.yaml: `terraform output -raw edge_values >edge-values.yaml`."
  value = yamlencode({
    region         = local.region
    image          = { repository = "${local.registry}/thalweg/edge" }
    service        = { annotations = module.edge.annotations }
    serviceAccount = { annotations = { "eks.amazonaws.com/role-arn" = module.iam.roles["thalweg-edge"] } }
    externalSecret = { aws = { region = local.region } }
  })
}

output "app_values" {
  description = "Values file for the chart fastapi-app, after values-aws.yaml: `terraform output -raw app_values >app-values.yaml`."
  value = yamlencode({
    region         = local.region
    image          = { repository = "${local.registry}/thalweg/fastapi-app" }
    ingress        = { annotations = module.origin.annotations }
    serviceAccount = { annotations = { "eks.amazonaws.com/role-arn" = module.iam.roles["fastapi-app"] } }
    externalSecret = { aws = { region = local.region } }
  })
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
  description = "Addresses of the application's stores; null for a store that is left out."
  value = {
    database   = one(module.rds[*].endpoint)
    cache      = one(module.elasticache[*].endpoint)
    opensearch = one(module.opensearch[*].endpoint)
  }
}

output "controller_values" {
  description = "Values for the chart aws-load-balancer-controller, which cannot ask the node for them; null with Auto Mode."
  value = var.compute == "auto" ? null : yamlencode({
    clusterName    = module.eks.name
    region         = local.region
    vpcId          = module.network.id
    serviceAccount = { annotations = { "eks.amazonaws.com/role-arn" = module.iam.roles["aws-load-balancer-controller"] } }
  })
}

output "karpenter" {
  description = "Values for Karpenter and its node classes; nulls with Auto Mode."
  value = {
    instance_profile   = module.eks.instance_profile
    interruption_queue = module.eks.interruption_queue
    disk_key           = module.eks.disk_key
  }
}
