# Checks that a workload's token opens its own identity, and that the identity opens what is named.
mock_provider "azurerm" {}

variables {
  name           = "thalweg-test"
  resource_group = { name = "thalweg-test", location = "southeastasia" }
  issuer         = "https://oidc.example.com/"
  workloads = {
    app  = { namespace = "apps", service_account = "fastapi-app", roles = [{ role = "Key Vault Secrets User", scope = "/subscriptions/s/resourceGroups/g/providers/Microsoft.KeyVault/vaults/v/secrets/app" }] }
    edge = { namespace = "edges", service_account = "thalweg-edge" }
  }
  tags = { environment = "development", owner = "platform" }
}

run "a_token_opens_its_own_identity" {
  assert {
    condition     = azurerm_federated_identity_credential.this["app"].subject == "system:serviceaccount:apps:fastapi-app" && azurerm_federated_identity_credential.this["app"].user_assigned_identity_id == azurerm_user_assigned_identity.this["app"].id
    error_message = "The application's ServiceAccount takes the application's identity."
  }
  assert {
    condition     = alltrue([for credential in azurerm_federated_identity_credential.this : credential.issuer == "https://oidc.example.com/"])
    error_message = "Tokens of other clusters are refused."
  }
  assert {
    condition     = length(azurerm_role_assignment.this) == 1 && endswith(azurerm_role_assignment.this["app-0"].scope, "/secrets/app")
    error_message = "The application reads its secret, the edge reads none."
  }
  assert {
    condition     = output.principals["edge"].name == "thalweg-test-edge"
    error_message = "Stores know the identity by its name."
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

run "refuses_tokens_over_plain_http" {
  command = plan
  variables {
    issuer = "http://oidc.example.com/"
  }
  expect_failures = [var.issuer]
}

run "refuses_any_service_account" {
  command = plan
  variables {
    workloads = { app = { namespace = "apps", service_account = "*" } }
  }
  expect_failures = [var.workloads]
}

run "refuses_an_administrator" {
  command = plan
  variables {
    workloads = { app = { namespace = "apps", service_account = "app", roles = [{ role = "Owner", scope = "/subscriptions/s/resourceGroups/g/providers/Microsoft.KeyVault/vaults/v" }] } }
  }
  expect_failures = [var.workloads]
}

run "refuses_a_whole_group" {
  command = plan
  variables {
    workloads = { app = { namespace = "apps", service_account = "app", roles = [{ role = "Reader", scope = "/subscriptions/s/resourceGroups/g" }] } }
  }
  expect_failures = [var.workloads]
}
