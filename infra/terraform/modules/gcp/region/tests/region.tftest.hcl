# What a region means as a whole: the parts fit together, and production does not get less than production needs.

mock_provider "google" {
  override_during = plan

  mock_resource "google_compute_address" {
    defaults = { address = "203.0.113.7" }
  }

  mock_resource "google_service_account" {
    defaults = { member = "serviceAccount:mock@example-production.iam.gserviceaccount.com", email = "mock@example-production.iam.gserviceaccount.com" }
  }

  mock_resource "google_sql_database_instance" {
    defaults = { dns_name = "abc.europe-west1.sql.goog." }
  }

  mock_resource "google_memorystore_instance" {
    defaults = {
      endpoints = [{ connections = [{ psc_auto_connection = [{
        connection_type = "", forwarding_rule = "", ip_address = "10.20.32.5", network = "", port = 6379, project_id = "", psc_connection_id = "", service_attachment = ""
      }] }] }]
    }
  }

  mock_data "google_kms_crypto_key_version" {
    defaults = { public_key = [{ algorithm = "EC_SIGN_P256_SHA256", pem = "pem" }] }
  }
}

mock_provider "time" {
  override_during = plan
}

# Mocked ids of keys have no location, which the parts insist on.
override_module {
  target  = module.keys
  outputs = { keys = { for key in ["cluster", "nodes", "database", "cache", "secrets"] : key => "projects/p/locations/europe-west1/keyRings/r/cryptoKeys/${key}" } }
}

override_module {
  target  = module.backup_keys
  outputs = { keys = { for key in ["cluster", "database"] : key => "projects/p/locations/europe-west4/keyRings/r/cryptoKeys/${key}" } }
}

override_module {
  target  = module.image_keys
  outputs = { keys = { images = "projects/p/locations/europe/keyRings/r/cryptoKeys/images" } }
}

variables {
  project_id     = "example-production"
  project_number = 123456789012
  environment    = "production"
  region         = "europe-west1"
  zones          = ["europe-west1-b", "europe-west1-c", "europe-west1-d"]
  backup_region  = "europe-west4"
  addresses      = { network = "10.20.0.0/16", pods = "100.64.0.0/17", services = "100.64.128.0/20" }
  other_edges    = ["192.0.2.1/32"]
  image_writers  = { pipeline = "serviceAccount:pipeline@example-bootstrap.iam.gserviceaccount.com" }
}

run "parts_fit_together" {
  command = plan

  assert {
    condition     = output.edge_annotations["networking.gke.io/load-balancer-ip-addresses"] == "thalweg-edge" && output.images.url == "europe-docker.pkg.dev/example-production/thalweg"
    error_message = "The charts would be given other names."
  }

  assert {
    condition     = output.egress_addresses == ["203.0.113.7/32", "203.0.113.7/32"]
    error_message = "The other clouds' origins would not let this region's edges in."
  }

  assert {
    condition     = toset(keys(output.accounts)) == toset(["fastapi-app", "thalweg-edge"]) && output.stores.cache == "10.20.32.5"
    error_message = "The charts would miss an account or a store."
  }
}

run "development_may_be_smaller" {
  command = plan

  variables {
    environment     = "development"
    cluster         = { nodes = { machine_type = "e2-medium", spot = true, max = 6 } }
    database        = { copy = false }
    images_enforced = false
  }

  assert {
    condition     = output.cluster.name == "development-europe-west1"
    error_message = "Development is not called so."
  }
}

run "rejects_project_id" {
  command = plan
  variables {
    project_id = "x"
  }
  expect_failures = [var.project_id]
}

run "rejects_project_number" {
  command = plan
  variables {
    project_number = 0
  }
  expect_failures = [var.project_number]
}

run "rejects_environment" {
  command = plan
  variables {
    environment = "test"
  }
  expect_failures = [var.environment]
}

run "rejects_long_region" {
  command = plan
  variables {
    region = "northamerica-northeast1"
  }
  expect_failures = [var.region]
}

run "rejects_two_zones" {
  command = plan
  variables {
    zones = ["europe-west1-b", "europe-west1-c"]
  }
  expect_failures = [var.zones]
}

run "rejects_backups_beside_their_origin" {
  command = plan
  variables {
    backup_region = "europe-west1"
  }
  expect_failures = [var.backup_region]
}

run "rejects_images_location" {
  command = plan
  variables {
    images_location = "europe-west1"
  }
  expect_failures = [var.images_location]
}

run "rejects_equal_ranges" {
  command = plan
  variables {
    addresses = { network = "10.20.0.0/16", pods = "100.64.0.0/17", services = "100.64.0.0/17" }
  }
  expect_failures = [var.addresses]
}

run "rejects_a_range_of_edges" {
  command = plan
  variables {
    other_edges = ["192.0.2.0/24"]
  }
  expect_failures = [var.other_edges]
}

run "rejects_spot_in_production" {
  command = plan
  variables {
    cluster = { nodes = { spot = true } }
  }
  expect_failures = [var.cluster]
}

run "rejects_production_without_a_copy" {
  command = plan
  variables {
    database = { copy = false }
  }
  expect_failures = [var.database]
}

run "rejects_unsigned_images_in_production" {
  command = plan
  variables {
    images_enforced = false
  }
  expect_failures = [var.images_enforced]
}

run "rejects_owner" {
  command = plan
  variables {
    owner = "Platform Team"
  }
  expect_failures = [var.owner]
}
