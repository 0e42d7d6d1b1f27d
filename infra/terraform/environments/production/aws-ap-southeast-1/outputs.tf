# What others are given.

output "edge_values" {
  description = "terraform output -raw edge_values >edge-values.yaml"
  value       = module.region.edge_values
}

output "app_values" {
  description = "terraform output -raw app_values >app-values.yaml"
  value       = module.region.app_values
}

output "egress_addresses" {
  description = "For `edges` of every other place."
  value       = module.region.egress_addresses
}

output "region" {
  description = "Everything: see modules/aws/region."
  value       = module.region
}
