# Values for the next steps: DNS, the other clouds' allow-lists, the charts.
output "edge_addresses" {
  description = "Addresses of the edges, for global/dns."
  value       = module.edge.edge_addresses
}

output "egress_cidr" {
  description = "Range that these edges leave from, for edge_egress_cidrs of all other environments' folders."
  value       = module.network.egress_cidr
}

output "credentials_command" {
  description = "How to reach the cluster."
  value       = module.aks.credentials_command
}

output "edge_values" {
  description = "Values file for the chart thalweg-edge: terraform output -raw edge_values >edge-values.yaml"
  value = yamlencode({
    image          = { repository = "${module.acr.login_server}/thalweg" }
    service        = { annotations = module.edge.edge_service_annotations }
    serviceAccount = { annotations = { "azure.workload.identity/client-id" = module.identity.client_ids["thalweg-edge"] } }
    externalSecret = { provider = "azure", azure = { vaultUrl = trimsuffix(module.key_vault.uri, "/"), tenantId = module.key_vault.tenant_id } }
  })
}

output "app_values" {
  description = "Values file for the chart fastapi-app: terraform output -raw app_values >app-values.yaml"
  value = yamlencode({
    image          = { repository = "${module.acr.login_server}/fastapi-app" }
    serviceAccount = { annotations = { "azure.workload.identity/client-id" = module.identity.client_ids["fastapi-app"] } }
    externalSecret = { provider = "azure", azure = { vaultUrl = trimsuffix(module.key_vault.uri, "/"), tenantId = module.key_vault.tenant_id } }
  })
}

output "stores" {
  description = "DATABASE_URL and REDIS_URL without logins, and annotations of the Gateway in front of the application."
  value = {
    database_urls       = module.postgresql.urls
    redis_url           = module.redis.url
    gateway_class       = module.aks.gateway_class
    gateway_annotations = module.edge.origin_gateway_annotations
  }
}
