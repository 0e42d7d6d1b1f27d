# Checks the addresses: they stay, they span zones, and the charts ask for them by the names they have.
mock_provider "azurerm" {}

variables {
  name           = "thalweg-test"
  resource_group = { name = "thalweg-test", location = "southeastasia" }
  dns_label      = "thalweg-test"
  tags           = { environment = "development", owner = "platform" }
}

run "addresses_stay" {
  assert {
    condition = alltrue([
      for ip in azurerm_public_ip.this :
      ip.allocation_method == "Static" && ip.sku == "Standard" && length(ip.zones) == 3 && ip.ddos_protection_mode == "Enabled"
    ])
    error_message = "Addresses are static, span three zones and are protected."
  }
  assert {
    condition     = toset(keys(azurerm_management_lock.this)) == toset(["thalweg-test-edge-ipv4", "thalweg-test-origin"])
    error_message = "Each address is locked."
  }
  assert {
    condition     = azurerm_public_ip.this[output.edge_service_annotations["service.beta.kubernetes.io/azure-pip-name"]].ip_version == "IPv4"
    error_message = "The chart asks for an address that exists."
  }
  assert {
    condition     = azurerm_public_ip.this[output.origin_gateway_annotations["service.beta.kubernetes.io/azure-pip-name"]].domain_name_label == null
    error_message = "The application's address has no public name."
  }
  assert {
    condition     = length(output.edge_addresses) == 1 && length(output.origin_addresses) == 1
    error_message = "One address for clients, one for edges."
  }
}

run "both_families_without_origin" {
  variables {
    origin              = false
    ip_versions         = ["IPv4", "IPv6"]
    public_ip_prefix_id = "prefix"
  }
  assert {
    condition     = length(output.edge_addresses) == 2 && length(output.origin_addresses) == 0 && length(output.origin_gateway_annotations) == 0
    error_message = "Two addresses for clients, none for the application."
  }
  assert {
    condition     = azurerm_public_ip.this["thalweg-test-edge-ipv4"].public_ip_prefix_id == "prefix" && azurerm_public_ip.this["thalweg-test-edge-ipv6"].public_ip_prefix_id == null
    error_message = "The brought prefix gives the IPv4 address."
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

run "refuses_no_ipv4" {
  command = plan
  variables {
    ip_versions = ["IPv6"]
  }
  expect_failures = [var.ip_versions]
}

run "refuses_a_bad_label" {
  command = plan
  variables {
    dns_label = "Thalweg."
  }
  expect_failures = [var.dns_label]
}

run "refuses_an_unknown_protection" {
  command = plan
  variables {
    ddos_protection = "Disabled"
  }
  expect_failures = [var.ddos_protection]
}
