# One virtual network per environment and region: four subnets without default outbound access.
# Nodes leave through a NAT gateway with fixed addresses, and not through the balancer's outbound rules: those give each
# node a fixed share of ports, so one busy node exhausts its share while others have thousands left.

locals {
  location = var.resource_group.location
  group    = var.resource_group.name

  # Pods live in an overlay, so the node subnet needs one address per node only.
  subnets = {
    nodes             = cidrsubnet(var.address_space, 4, 0)
    api_server        = cidrsubnet(var.address_space, 8, 16)
    postgresql        = cidrsubnet(var.address_space, 8, 17)
    private_endpoints = cidrsubnet(var.address_space, 8, 18)
  }
  delegations = {
    api_server = { service = "Microsoft.ContainerService/managedClusters" }
    postgresql = { service = "Microsoft.DBforPostgreSQL/flexibleServers" }
  }
}

resource "azurerm_virtual_network" "this" {
  name                = var.name
  resource_group_name = local.group
  location            = local.location
  address_space       = [var.address_space]
  tags                = var.tags

  encryption {
    # Machines that cannot encrypt send clear text; DropUnencrypted would exclude small sizes.
    enforcement = "AllowUnencrypted"
  }

  dynamic "ddos_protection_plan" {
    for_each = var.ddos_protection_plan_id[*]
    content {
      id     = ddos_protection_plan.value
      enable = true
    }
  }
}

resource "azurerm_subnet" "this" {
  for_each = local.subnets

  name                              = replace(each.key, "_", "-")
  resource_group_name               = local.group
  virtual_network_name              = azurerm_virtual_network.this.name
  address_prefixes                  = [each.value]
  default_outbound_access_enabled   = false
  private_endpoint_network_policies = "Enabled"

  dynamic "delegation" {
    for_each = try([local.delegations[each.key]], [])
    content {
      name = each.key
      service_delegation {
        name    = delegation.value.service
        actions = ["Microsoft.Network/virtualNetworks/subnets/join/action"]
      }
    }
  }
}

resource "azurerm_public_ip_prefix" "egress" {
  name                = "${var.name}-egress"
  resource_group_name = local.group
  location            = local.location
  prefix_length       = var.egress_prefix_length
  sku                 = "StandardV2"
  tags                = var.tags
}

resource "azurerm_management_lock" "egress" {
  name       = "allow-lists-name-this-range"
  scope      = azurerm_public_ip_prefix.egress.id
  lock_level = "CanNotDelete"
  notes      = "Every regional balancer in every cloud lets this range in. Add a new range to all of them before you remove this one."
}

resource "azurerm_nat_gateway" "this" {
  name                    = "${var.name}-egress"
  resource_group_name     = local.group
  location                = local.location
  sku_name                = "StandardV2" # spans all zones and takes no list of them; a "Standard" one lives in one and falls with it
  idle_timeout_in_minutes = 4
  tags                    = var.tags
}

resource "azurerm_nat_gateway_public_ip_prefix_association" "this" {
  nat_gateway_id      = azurerm_nat_gateway.this.id
  public_ip_prefix_id = azurerm_public_ip_prefix.egress.id
}

resource "azurerm_subnet_nat_gateway_association" "nodes" {
  subnet_id      = azurerm_subnet.this["nodes"].id
  nat_gateway_id = azurerm_nat_gateway.this.id
}
