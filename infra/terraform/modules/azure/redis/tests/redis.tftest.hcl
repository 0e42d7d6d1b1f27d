# Checks the cache: two zones, TLS, and no key that opens it.
mock_provider "azurerm" {}

variables {
  name           = "thalweg-test"
  resource_group = { name = "thalweg-test", location = "southeastasia" }
  users          = { app = "00000000-0000-0000-0000-0000000000b1" }

  encryption             = { id = "key", identity_id = "identity", identity_client_id = "client" }
  network                = { subnet_id = "subnet", virtual_network_id = "network" }
  log_storage_account_id = "logs"
  tags                   = { environment = "development", owner = "platform" }
}

run "no_access_key_and_tls_only" {
  assert {
    condition     = azurerm_managed_redis.this.default_database[0].access_keys_authentication_enabled == false && azurerm_managed_redis.this.default_database[0].client_protocol == "Encrypted"
    error_message = "Entra is the only login, TLS the only protocol."
  }
  assert {
    condition     = azurerm_managed_redis.this.public_network_access == "Disabled" && azurerm_managed_redis.this.high_availability_enabled
    error_message = "The cache answers inside the network and has a copy in another zone."
  }
  assert {
    condition     = one(azurerm_managed_redis.this.customer_managed_key).key_vault_key_id == "key"
    error_message = "Data is encrypted with the customer's key."
  }
  assert {
    condition     = azurerm_managed_redis_access_policy_assignment.this["app"].object_id == "00000000-0000-0000-0000-0000000000b1" && length(azurerm_managed_redis_access_policy_assignment.this) == 1
    error_message = "The named identities log in and no other."
  }
  assert {
    condition     = azurerm_managed_redis.this.default_database[0].eviction_policy == "AllKeysLRU"
    error_message = "A cache that is full forgets what is used least."
  }
}

run "what_must_survive_is_written_and_never_evicted" {
  variables {
    persistence = "append"
  }
  assert {
    condition     = azurerm_managed_redis.this.default_database[0].persistence_append_only_file_backup_frequency == "1s" && azurerm_managed_redis.this.default_database[0].eviction_policy == "NoEviction"
    error_message = "Nothing that was accepted is dropped."
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

run "refuses_a_size_of_the_old_service" {
  command = plan
  variables {
    sku = "Premium_P1"
  }
  expect_failures = [var.sku]
}

run "refuses_an_unknown_persistence" {
  command = plan
  variables {
    persistence = "rdb"
  }
  expect_failures = [var.persistence]
}
