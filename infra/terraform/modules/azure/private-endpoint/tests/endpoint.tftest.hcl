# Checks that the name leads to the endpoint and to nothing else.
mock_provider "azurerm" {}

variables {
  name           = "thalweg-test"
  resource_group = { name = "thalweg-test", location = "southeastasia" }
  service        = { id = "vault", part = "vault" }
  zone           = "privatelink.vaultcore.azure.net"
  network        = { subnet_id = "subnet", virtual_network_id = "network" }
  tags           = { environment = "development", owner = "platform" }
}

run "the_name_leads_to_the_endpoint" {
  assert {
    condition     = one(azurerm_private_endpoint.this.private_dns_zone_group).private_dns_zone_ids == tolist([azurerm_private_dns_zone.this.id])
    error_message = "The endpoint's address is in the zone."
  }
  assert {
    condition     = azurerm_private_dns_zone_virtual_network_link.this.virtual_network_id == "network" && coalesce(azurerm_private_dns_zone_virtual_network_link.this.registration_enabled, false) == false
    error_message = "The network asks the zone, and machines do not register in it."
  }
  assert {
    condition     = one(azurerm_private_endpoint.this.private_service_connection).private_connection_resource_id == "vault"
    error_message = "The endpoint leads to the service."
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

run "refuses_a_zone_that_clients_never_ask" {
  command = plan
  variables {
    zone = "vault.azure.net"
  }
  expect_failures = [var.zone]
}
