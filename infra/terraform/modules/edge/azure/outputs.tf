# Values for DNS, the network and the charts.
output "edge_addresses" {
  description = "Addresses that clients connect to: module azure/network opens port 443 for them, global/dns names them."
  value       = [for name in sort(keys(local.edges)) : azurerm_public_ip.this[name].ip_address]
}

output "origin_addresses" {
  description = "Address of the balancer in front of the application, for edges only; empty where it is internal."
  value       = var.origin ? [azurerm_public_ip.this["${var.name}-origin"].ip_address] : []
}

output "resource_group_id" {
  description = "Resource group of the addresses: the cluster's identity gets Network Contributor on it and on nothing wider."
  value       = azurerm_resource_group.this.id
}

output "edge_service_annotations" {
  description = "service.annotations of the edge's chart."
  value = merge(
    {
      "service.beta.kubernetes.io/azure-load-balancer-resource-group" = azurerm_resource_group.this.name
      "service.beta.kubernetes.io/azure-pip-name"                     = "${var.name}-edge-ipv4"
    },
    contains(var.ip_versions, "IPv6") ? { "service.beta.kubernetes.io/azure-pip-name-ipv6" = "${var.name}-edge-ipv6" } : {},
  )
}

output "origin_gateway_annotations" {
  description = "Annotations of the Gateway's Service in front of the application; empty where that balancer is internal."
  value = var.origin ? {
    "service.beta.kubernetes.io/azure-load-balancer-resource-group" = azurerm_resource_group.this.name
    "service.beta.kubernetes.io/azure-pip-name"                     = "${var.name}-origin"
  } : {}
}
