# Checks the wiring of the modules.
mock_provider "azurerm" {
  mock_resource "azurerm_key_vault" {
    defaults = { id = "/subscriptions/s/resourceGroups/g/providers/Microsoft.KeyVault/vaults/v" }
  }
  mock_resource "azurerm_kubernetes_cluster" {
    defaults = { oidc_issuer_url = "https://oidc.example.com/" }
  }
}
mock_provider "azapi" {
  mock_resource "azapi_resource_action" {
    defaults = {
      output = { properties = { keyUri = "https://v.vault.azure.net/keys/k", keyUriWithVersion = "https://v.vault.azure.net/keys/k/1" } }
    }
  }
}

variables {
  environment       = "staging"
  location          = "southeastasia"
  addresses         = { network = "10.130.0.0/16", pods = "100.67.0.0/17", services = "100.67.128.0/20" }
  owner             = "platform"
  suffix            = "s1"
  backup_region     = "eastasia"
  publisher         = "00000000-0000-0000-0000-0000000000c2"
  edge_egress_cidrs = ["198.51.100.72/30"]
  cache_sku         = "Balanced_B3"
  cluster           = { kubernetes_version = "1.36" }
  groups = {
    cluster  = "00000000-0000-0000-0000-0000000000d2"
    database = { object_id = "00000000-0000-0000-0000-0000000000e2", name = "database" }
  }
}

run "parts_are_joined" {
  assert {
    condition     = yamldecode(output.edge_values).service.annotations["service.beta.kubernetes.io/azure-pip-name"] == "thalweg-staging-edge-ipv4"
    error_message = "The edge's Service takes the reserved address."
  }
  assert {
    condition     = yamldecode(output.edge_values).serviceAccount.annotations["azure.workload.identity/client-id"] != yamldecode(output.app_values).serviceAccount.annotations["azure.workload.identity/client-id"]
    error_message = "Edge and application have identities of their own."
  }
  assert {
    condition     = toset(keys(module.identity.client_ids)) == toset(["fastapi-app", "thalweg-edge"]) && toset(keys(module.key_vault_pair.keys)) == toset(["postgresql"])
    error_message = "Without a DNS zone of Azure there is no identity for it; the paired region has the key of the backups."
  }
  assert {
    condition     = length(distinct([for key in values(module.key_vault.keys) : key.identity_id])) == 6
    error_message = "Each key has an identity of its own."
  }
}

run "cert_manager_where_azure_has_the_zone" {
  variables {
    dns_zone_id = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/dnsZones/example.com"
  }
  assert {
    condition     = contains(keys(module.identity.client_ids), "cert-manager")
    error_message = "cert-manager may prove names in the zone."
  }
}

run "refuses_an_unknown_environment" {
  command = plan
  variables {
    environment = "qa"
  }
  expect_failures = [var.environment]
}

run "refuses_a_location_by_its_long_name" {
  command = plan
  variables {
    location = "Southeast Asia"
  }
  expect_failures = [var.location]
}

run "refuses_a_bad_suffix" {
  command = plan
  variables {
    suffix = "production"
  }
  expect_failures = [var.suffix]
}
