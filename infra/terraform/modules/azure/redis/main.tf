# The cache of one region: Azure Managed Redis, because the old service (Azure Cache for Redis) takes no new tenants since
# April 2026. A copy in another zone, TLS only, logins by Entra identity, no access key.
resource "azurerm_managed_redis" "this" {
  name                      = var.name
  resource_group_name       = var.resource_group.name
  location                  = var.resource_group.location
  sku_name                  = var.sku
  high_availability_enabled = true
  public_network_access     = "Disabled"
  tags                      = var.tags

  identity {
    type         = "UserAssigned"
    identity_ids = [var.encryption.identity_id]
  }
  customer_managed_key {
    key_vault_key_id          = var.encryption.id
    user_assigned_identity_id = var.encryption.identity_id
  }

  default_database {
    access_keys_authentication_enabled = false
    client_protocol                    = "Encrypted"
    # One endpoint that ordinary clients understand; "OSSCluster" is faster and wants clients that follow redirects.
    clustering_policy                             = "EnterpriseCluster"
    eviction_policy                               = var.persistence == "none" ? "AllKeysLRU" : "NoEviction"
    persistence_append_only_file_backup_frequency = var.persistence == "append" ? "1s" : null
  }
}

resource "azurerm_managed_redis_access_policy_assignment" "this" {
  for_each = var.users

  managed_redis_id = azurerm_managed_redis.this.id
  object_id        = each.value
}

module "private_endpoint" {
  source = "../private-endpoint"

  name           = var.name
  resource_group = var.resource_group
  service        = { id = azurerm_managed_redis.this.id, part = "redisEnterprise" }
  zone           = "privatelink.redis.azure.net"
  network        = var.network
  tags           = var.tags
}

# Each connection, with its identity and its source address.
resource "azurerm_monitor_diagnostic_setting" "this" {
  name               = "connections"
  target_resource_id = azurerm_managed_redis.this.default_database[0].id
  storage_account_id = var.log_storage_account_id

  enabled_log {
    category = "ConnectionEvents"
  }
}
