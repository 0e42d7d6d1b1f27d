# Checks the database: it survives a zone, keeps its past, and knows no password.
mock_provider "azurerm" {}

variables {
  name           = "thalweg-test"
  resource_group = { name = "thalweg-test", location = "southeastasia" }
  administrators = { object_id = "00000000-0000-0000-0000-0000000000aa", name = "dba" }
  backup         = { geo_key_id = "geo-key", geo_identity_id = "geo-identity" }

  encryption             = { id = "key", identity_id = "identity", identity_client_id = "client" }
  network                = { subnet_id = "subnet", virtual_network_id = "network" }
  log_storage_account_id = "logs"
  tags                   = { environment = "development", owner = "platform" }
}

run "survives_a_zone_and_keeps_its_past" {
  assert {
    condition     = one(azurerm_postgresql_flexible_server.this.high_availability).mode == "ZoneRedundant" && one(azurerm_postgresql_flexible_server.this.high_availability).standby_availability_zone != azurerm_postgresql_flexible_server.this.zone
    error_message = "The standby is in another zone."
  }
  assert {
    condition     = azurerm_postgresql_flexible_server.this.backup_retention_days == 35 && length(azurerm_management_lock.this) == 1
    error_message = "Five weeks are restorable, and the server is locked against deletion."
  }
}

run "no_password_and_tls_only" {
  assert {
    condition     = one(azurerm_postgresql_flexible_server.this.authentication).password_auth_enabled == false && one(azurerm_postgresql_flexible_server.this.authentication).active_directory_auth_enabled
    error_message = "Entra is the only login."
  }
  assert {
    condition     = azurerm_postgresql_flexible_server.this.public_network_access_enabled == false && azurerm_postgresql_flexible_server.this.delegated_subnet_id == "subnet"
    error_message = "The server answers inside the network only."
  }
  assert {
    condition     = azurerm_postgresql_flexible_server_configuration.this["require_secure_transport"].value == "ON" && azurerm_postgresql_flexible_server_configuration.this["ssl_min_protocol_version"].value == "TLSv1.3"
    error_message = "Connections without TLS 1.3 are refused."
  }
  assert {
    condition     = one(azurerm_postgresql_flexible_server.this.customer_managed_key).key_vault_key_id == "key"
    error_message = "Data is encrypted with the customer's key."
  }
}

run "copy_in_the_paired_region_has_a_key_there" {
  assert {
    condition     = azurerm_postgresql_flexible_server.this.geo_redundant_backup_enabled && one(azurerm_postgresql_flexible_server.this.customer_managed_key).geo_backup_key_vault_key_id == "geo-key"
    error_message = "The copy is encrypted with a key of its own region."
  }
  assert {
    condition     = one(azurerm_postgresql_flexible_server.this.identity).identity_ids == toset(["identity", "geo-identity"])
    error_message = "The server may use both keys."
  }
}

run "refuses_a_bad_name" {
  command = plan
  variables {
    name = "Thalweg_"
  }
  expect_failures = [var.name]
}

run "refuses_missing_tags" {
  command = plan
  variables {
    tags = { environment = "development" }
  }
  expect_failures = [var.tags]
}

run "refuses_an_old_version" {
  command = plan
  variables {
    postgresql_version = "13"
  }
  expect_failures = [var.postgresql_version]
}

run "refuses_a_machine_without_standby" {
  command = plan
  variables {
    size = { sku = "B_Standard_B1ms" }
  }
  expect_failures = [var.size]
}

run "refuses_an_odd_size" {
  command = plan
  variables {
    size = { storage_gb = 100 }
  }
  expect_failures = [var.size]
}

run "refuses_primary_and_standby_in_one_zone" {
  command = plan
  variables {
    zones = { primary = "2" }
  }
  expect_failures = [var.zones]
}

run "refuses_too_few_backups" {
  command = plan
  variables {
    backup = { retention_in_days = 1, geo_key_id = "geo-key", geo_identity_id = "geo-identity" }
  }
  expect_failures = [var.backup]
}

run "refuses_administrators_without_an_id" {
  command = plan
  variables {
    administrators = { object_id = "dba", name = "dba" }
  }
  expect_failures = [var.administrators]
}
