# Values for the next steps: DNS, the other clouds' allow-lists, the charts.
output "edge_addresses" {
  description = "Addresses of the edges, for global/dns."
  value       = module.region.edge_addresses
}

output "egress_cidr" {
  description = "Range that these edges leave from, for edge_egress_cidrs of all other environments' folders."
  value       = module.region.egress_cidr
}

output "credentials_command" {
  description = "How to reach the cluster."
  value       = module.region.credentials_command
}

output "edge_values" {
  description = "Values file for the chart thalweg-edge: terraform output -raw edge_values >edge-values.yaml"
  value       = module.region.edge_values
}

output "app_values" {
  description = "Values file for the chart fastapi-app: terraform output -raw app_values >app-values.yaml"
  value       = module.region.app_values
}

output "stores" {
  description = "DATABASE_URL and REDIS_URL without logins, and annotations of the Gateway in front of the application."
  value       = module.region.stores
}
