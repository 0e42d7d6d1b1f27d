# Inbound rules of each subnet. Every list ends with a deny rule, so Azure's default (allow the whole virtual network)
# never applies.

locals {
  nodes = local.subnets.nodes
  here  = var.address_space
  # This region's own edges reach its origin through the public address, too.
  edges = concat([azurerm_public_ip_prefix.egress.ip_prefix], var.edge_egress_cidrs)

  # Priorities are 100, 110, ... in the order of the list.
  rules = {
    nodes = concat(
      [
        { name = "clients-to-edges", from = ["Internet"], to = var.edge_addresses, ports = ["443"], protocol = "Tcp" },
        { name = "network", from = [local.here], to = [local.nodes], ports = ["*"], protocol = "*" },
        { name = "pods", from = [local.nodes, var.pod_cidr], to = [local.nodes, var.pod_cidr], ports = ["*"], protocol = "*" },
        { name = "balancer-checks", from = ["AzureLoadBalancer"], to = ["*"], ports = ["*"], protocol = "*" },
      ],
      var.http3 ? [
        { name = "clients-to-edges-quic", from = ["Internet"], to = var.edge_addresses, ports = ["443"], protocol = "Udp" },
      ] : [],
      length(var.origin_addresses) == 0 ? [] : [
        { name = "edges-to-origin", from = local.edges, to = var.origin_addresses, ports = ["443"], protocol = "Tcp" },
      ],
    )
    api_server = [
      { name = "kubernetes", from = [local.here], to = [local.subnets.api_server], ports = ["443", "4443"], protocol = "Tcp" },
      { name = "balancer-checks", from = ["AzureLoadBalancer"], to = [local.subnets.api_server], ports = ["9988"], protocol = "Tcp" },
    ]
    postgresql = [
      { name = "clients", from = [local.nodes], to = [local.subnets.postgresql], ports = ["5432"], protocol = "Tcp" },
      { name = "replication", from = [local.subnets.postgresql], to = [local.subnets.postgresql], ports = ["5432"], protocol = "Tcp" },
    ]
    private_endpoints = [
      { name = "clients", from = [local.nodes], to = [local.subnets.private_endpoints], ports = ["443", "10000"], protocol = "Tcp" },
      { name = "key-wrapping", from = [local.subnets.api_server], to = [local.subnets.private_endpoints], ports = ["443"], protocol = "Tcp" },
    ]
  }
}

resource "azurerm_network_security_group" "this" {
  for_each = local.subnets

  name                = "${var.name}-${replace(each.key, "_", "-")}"
  resource_group_name = local.group
  location            = local.location
  tags                = var.tags
}

resource "azurerm_network_security_rule" "allow" {
  for_each = merge([
    for subnet, rules in local.rules : {
      for index, rule in rules : "${subnet}-${rule.name}" => merge(rule, { subnet = subnet, priority = 100 + 10 * index })
    }
  ]...)

  name                        = each.value.name
  resource_group_name         = local.group
  network_security_group_name = azurerm_network_security_group.this[each.value.subnet].name
  priority                    = each.value.priority
  direction                   = "Inbound"
  access                      = "Allow"
  protocol                    = each.value.protocol
  source_port_range           = "*"

  # Azure takes service tags and "*" in the singular arguments only, lists in the plural ones only.
  source_address_prefix        = length(each.value.from) == 1 ? one(each.value.from) : null
  source_address_prefixes      = length(each.value.from) == 1 ? null : each.value.from
  destination_address_prefix   = length(each.value.to) == 1 ? one(each.value.to) : null
  destination_address_prefixes = length(each.value.to) == 1 ? null : each.value.to
  destination_port_range       = length(each.value.ports) == 1 ? one(each.value.ports) : null
  destination_port_ranges      = length(each.value.ports) == 1 ? null : each.value.ports
}

resource "azurerm_network_security_rule" "deny" {
  for_each = local.subnets

  name                        = "deny-the-rest"
  resource_group_name         = local.group
  network_security_group_name = azurerm_network_security_group.this[each.key].name
  priority                    = 4096
  direction                   = "Inbound"
  access                      = "Deny"
  protocol                    = "*"
  source_port_range           = "*"
  source_address_prefix       = "*"
  destination_address_prefix  = "*"
  destination_port_range      = "*"
}

resource "azurerm_subnet_network_security_group_association" "this" {
  for_each = local.subnets

  subnet_id                 = azurerm_subnet.this[each.key].id
  network_security_group_id = azurerm_network_security_group.this[each.key].id
  depends_on                = [azurerm_network_security_rule.allow, azurerm_network_security_rule.deny]
}
