# Values for the other modules of the region.
output "virtual_network_id" {
  description = "Virtual network, for links of private DNS zones."
  value       = azurerm_virtual_network.this.id
}

output "subnet_ids" {
  description = "Subnets by purpose: nodes, api_server, postgresql, private_endpoints."
  # Machines must wait for the association: until then a subnet has no rules.
  value      = { for key, subnet in azurerm_subnet.this : key => subnet.id }
  depends_on = [azurerm_subnet_network_security_group_association.this, azurerm_subnet_nat_gateway_association.nodes]
}

output "subnet_cidrs" {
  description = "Ranges of the subnets, by purpose."
  value       = local.subnets
}

output "egress_cidr" {
  description = "Fixed public range that this region's nodes leave from: the entry for the allow-lists of all regional balancers."
  value       = azurerm_public_ip_prefix.egress.ip_prefix
}

output "log_storage_account_id" {
  description = "Storage account that takes this region's logs."
  value       = azurerm_storage_account.logs.id
}
