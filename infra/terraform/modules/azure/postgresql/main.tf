# The database of one region: a standby in another zone, point-in-time restore over the last weeks, no password login.
#
# Applications log in with a token of their Entra identity. The administrators' group makes the roles once, as one of its
# members: select * from pgaadauth_create_principal('IDENTITY', false, false);
data "azurerm_client_config" "this" {}

resource "azurerm_private_dns_zone" "this" {
  name                = "${var.name}.private.postgres.database.azure.com"
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

resource "azurerm_postgresql_flexible_server" "this" {
  name                          = var.name
  resource_group_name           = var.resource_group.name
  location                      = var.resource_group.location
  version                       = var.postgresql_version
  sku_name                      = var.size.sku
  storage_mb                    = var.size.storage_gb * 1024
  auto_grow_enabled             = true
  zone                          = var.zones.primary
  delegated_subnet_id           = var.network.subnet_id
  private_dns_zone_id           = azurerm_private_dns_zone.this.id
  public_network_access_enabled = false
  backup_retention_days         = var.backup.retention_in_days
  geo_redundant_backup_enabled  = true # cannot be switched on later
  tags                          = var.tags

  authentication {
    active_directory_auth_enabled = true
    password_auth_enabled         = false
    tenant_id                     = data.azurerm_client_config.this.tenant_id
  }
  high_availability {
    mode                      = "ZoneRedundant"
    standby_availability_zone = var.zones.standby
  }
  identity {
    type         = "UserAssigned"
    identity_ids = [var.encryption.identity_id, var.backup.geo_identity_id]
  }
  customer_managed_key {
    key_vault_key_id                     = var.encryption.id
    primary_user_assigned_identity_id    = var.encryption.identity_id
    geo_backup_key_vault_key_id          = var.backup.geo_key_id
    geo_backup_user_assigned_identity_id = var.backup.geo_identity_id
  }
  maintenance_window {
    day_of_week = 3
    start_hour  = 2
  }

  lifecycle {
    # A failover swaps the zones. Swapping them back would cost a second interruption.
    ignore_changes = [zone, high_availability[0].standby_availability_zone]
  }
  depends_on = [azurerm_private_dns_zone_virtual_network_link.this]
}

resource "azurerm_postgresql_flexible_server_active_directory_administrator" "this" {
  server_name         = azurerm_postgresql_flexible_server.this.name
  resource_group_name = var.resource_group.name
  tenant_id           = data.azurerm_client_config.this.tenant_id
  object_id           = var.administrators.object_id
  principal_name      = var.administrators.name
  principal_type      = "Group"
}

resource "azurerm_postgresql_flexible_server_database" "this" {
  for_each = var.databases

  name      = each.key
  server_id = azurerm_postgresql_flexible_server.this.id
  charset   = "UTF8"
  collation = "en_US.utf8"
}

resource "azurerm_postgresql_flexible_server_configuration" "this" {
  for_each = {
    require_secure_transport            = "ON"
    ssl_min_protocol_version            = "TLSv1.3"
    log_checkpoints                     = "on"
    log_connections                     = "on"
    log_disconnections                  = "on"
    "connection_throttle.enable"        = "on"
    "pgbouncer.enabled"                 = "false" # the application pools; two pools hide each other's limits
    idle_in_transaction_session_timeout = "60000"
  }

  name      = each.key
  server_id = azurerm_postgresql_flexible_server.this.id
  value     = each.value
}

resource "azurerm_management_lock" "this" {
  count = var.deletion_protection ? 1 : 0

  name       = "deletion-protection"
  scope      = azurerm_postgresql_flexible_server.this.id
  lock_level = "CanNotDelete"
  notes      = "Deleting the server deletes its backups. Remove this lock in a separate change first."
}

resource "azurerm_monitor_diagnostic_setting" "this" {
  name               = "logs"
  target_resource_id = azurerm_postgresql_flexible_server.this.id
  storage_account_id = var.log_storage_account_id

  enabled_log {
    category = "PostgreSQLLogs"
  }
}
