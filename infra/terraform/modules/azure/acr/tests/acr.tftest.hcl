# Checks the registry: identities that pull, identities that push, and no others.
mock_provider "azurerm" {}

variables {
  name                   = "thalweg-test"
  resource_group         = { name = "thalweg-test", location = "southeastasia" }
  registry_name          = "thalwegtest"
  encryption             = { id = "key", identity_id = "identity", identity_client_id = "client" }
  network                = { subnet_id = "subnet", virtual_network_id = "network" }
  log_storage_account_id = "logs"
  tags                   = { environment = "development", owner = "platform" }
}

run "closed_and_without_passwords" {
  assert {
    condition     = !azurerm_container_registry.this.admin_enabled && !azurerm_container_registry.this.anonymous_pull_enabled
    error_message = "The registry has no password and refuses anonymous pulls."
  }
  assert {
    condition     = !azurerm_container_registry.this.public_network_access_enabled && !azurerm_container_registry.this.export_policy_enabled
    error_message = "The registry is closed to the Internet and lets nothing be exported."
  }
  assert {
    condition     = one(azurerm_container_registry.this.encryption).key_vault_key_id == "key"
    error_message = "Images are encrypted with the customer's key."
  }
  assert {
    condition     = contains([for log in azurerm_monitor_diagnostic_setting.this.enabled_log : log.category], "ContainerRegistryRepositoryEvents")
    error_message = "Pushes and deletions are recorded."
  }
}

run "one_pipeline_pushes_and_a_replica_serves" {
  variables {
    replicas = ["eastasia"]
    pullers  = { aks = "cluster" }
    pushers  = { pipeline = "pipeline" }
  }
  assert {
    condition     = one(azurerm_container_registry.this.georeplications).location == "eastasia"
    error_message = "The other region has a copy."
  }
  assert {
    condition     = azurerm_role_assignment.pull["aks"].role_definition_name == "AcrPull" && azurerm_role_assignment.push["pipeline"].role_definition_name == "AcrPush"
    error_message = "Clusters pull, the pipeline pushes."
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

run "refuses_a_name_azure_does_not_take" {
  command = plan
  variables {
    registry_name = "thalweg-images"
  }
  expect_failures = [var.registry_name]
}

run "refuses_a_copy_in_its_own_region" {
  command = plan
  variables {
    replicas = ["southeastasia"]
  }
  expect_failures = [var.replicas]
}

run "refuses_a_cluster_that_pushes" {
  command = plan
  variables {
    pullers = { aks = "same" }
    pushers = { pipeline = "same" }
  }
  expect_failures = [var.pushers]
}
