# The layer-4 addresses of one region. The edge's Service takes the first, so it survives the cluster and DNS names it
# before any pod runs. Azure's balancer passes TCP through and keeps the client's address.
#
# This module cannot give one address for three clouds. A cloud's anycast (Azure: the Global tier) reaches that cloud only,
# and a prefix that you bring is announced by one cloud at a time. For one address everywhere see module edge/bgp.

locals {
  # Names are those that the Services ask for; one more address for the application's balancer.
  addresses = merge(
    {
      for version in var.ip_versions : "${var.name}-edge-${lower(version)}" => {
        # Azure takes a label once, so the IPv4 address has it.
        version = version, edge = true, label = version == "IPv4" ? var.dns_label : null
      }
    },
    var.origin ? { "${var.name}-origin" = { version = "IPv4", edge = false, label = null } } : {},
  )
  edges = { for name, of in local.addresses : name => of if of.edge }
}

resource "azurerm_resource_group" "this" {
  # A separate group, so that the cluster's rights cover the addresses and nothing else.
  name     = "${var.name}-addresses"
  location = var.resource_group.location
  tags     = var.tags
}

resource "azurerm_public_ip" "this" {
  for_each = local.addresses

  name                    = each.key
  resource_group_name     = azurerm_resource_group.this.name
  location                = azurerm_resource_group.this.location
  allocation_method       = "Static"
  sku                     = "Standard"
  zones                   = ["1", "2", "3"]
  ip_version              = each.value.version
  public_ip_prefix_id     = each.value.edge && each.value.version == "IPv4" ? var.public_ip_prefix_id : null
  domain_name_label       = each.value.label
  ddos_protection_mode    = var.ddos_protection
  idle_timeout_in_minutes = 5
  tags                    = var.tags
}

resource "azurerm_management_lock" "this" {
  for_each = local.addresses

  name       = "clients-know-this-address"
  scope      = azurerm_public_ip.this[each.key].id
  lock_level = "CanNotDelete"
  notes      = "DNS and resolvers' caches hold this address. Remove it from DNS and wait for the TTL before you delete it."
}
