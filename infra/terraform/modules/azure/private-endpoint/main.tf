# A private endpoint for one Azure service: an address in the private subnet, and the DNS zone that resolves the service's
# public name to that address. The service can then refuse the Internet.
resource "azurerm_private_dns_zone" "this" {
  name                = var.zone
  resource_group_name = var.resource_group.name
  tags                = var.tags
}

resource "azurerm_private_dns_zone_virtual_network_link" "this" {
  name                  = var.name
  resource_group_name   = var.resource_group.name
  private_dns_zone_name = azurerm_private_dns_zone.this.name
  virtual_network_id    = var.network.virtual_network_id
  tags                  = var.tags
}

resource "azurerm_private_endpoint" "this" {
  name                = "${var.name}-${lower(var.service.part)}"
  resource_group_name = var.resource_group.name
  location            = var.resource_group.location
  subnet_id           = var.network.subnet_id
  tags                = var.tags

  private_service_connection {
    name                           = lower(var.service.part)
    private_connection_resource_id = var.service.id
    subresource_names              = [var.service.part]
    is_manual_connection           = false
  }
  private_dns_zone_group {
    name                 = "default"
    private_dns_zone_ids = [azurerm_private_dns_zone.this.id]
  }
}
