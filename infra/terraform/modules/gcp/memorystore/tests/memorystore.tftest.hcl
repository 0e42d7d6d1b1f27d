# What the cache means: who reaches it and how, what survives a zone, and refused input.

mock_provider "google" {
  override_during = plan

  mock_resource "google_memorystore_instance" {
    defaults = {
      endpoints = [{ connections = [{ psc_auto_connection = [{
        connection_type = "", forwarding_rule = "", ip_address = "10.20.32.5", network = "", port = 6379, project_id = "", psc_connection_id = "", service_attachment = ""
      }] }] }]
      managed_server_ca = [{ ca_certs = [{ certificates = ["pem"] }] }]
    }
  }
}

variables {
  project_id = "example-project"
  name       = "production-europe-west1"
  region     = "europe-west1"
  network    = "projects/example-project/global/networks/production"
  kms_key    = "projects/example-project/locations/europe-west1/keyRings/production/cryptoKeys/cache"
  labels     = { environment = "production", owner = "platform" }
}

run "clients_log_in_by_iam_over_tls" {
  command = plan

  assert {
    condition     = google_memorystore_instance.this.authorization_mode == "IAM_AUTH" && google_memorystore_instance.this.transit_encryption_mode == "SERVER_AUTHENTICATION"
    error_message = "The cache answers strangers, or without TLS."
  }

  assert {
    condition     = output.host == "10.20.32.5" && output.ca_certificates == ["pem"]
    error_message = "The application cannot find the cache or verify it."
  }
}

run "it_survives_a_zone_and_a_restart" {
  command = plan

  assert {
    condition     = google_memorystore_instance.this.replica_count == 1 && google_memorystore_instance.this.zone_distribution_config[0].mode == "MULTI_ZONE"
    error_message = "The cache dies with its zone."
  }

  assert {
    condition     = google_memorystore_instance.this.persistence_config[0].mode == "RDB" && google_memorystore_instance.this.automated_backup_config[0].retention == "3024000s"
    error_message = "The cache has no snapshots or backups."
  }

  assert {
    condition     = google_memorystore_instance.this.kms_key == var.kms_key && google_memorystore_instance.this.deletion_protection_enabled
    error_message = "The cache has no customer key, or an ordinary apply deletes it."
  }
}

run "rejects_name" {
  command = plan
  variables {
    name = "abc"
  }
  expect_failures = [var.name]
}

run "rejects_region" {
  command = plan
  variables {
    region = "europe-west1-b"
  }
  expect_failures = [var.region]
}

run "rejects_key_elsewhere" {
  command = plan
  variables {
    kms_key = "cache"
  }
  expect_failures = [var.kms_key]
}

run "rejects_redis" {
  command = plan
  variables {
    valkey_version = "7.0"
  }
  expect_failures = [var.valkey_version]
}

run "rejects_shared_core" {
  command = plan
  variables {
    node_type = "SHARED_CORE_NANO"
  }
  expect_failures = [var.node_type]
}

run "rejects_no_replica" {
  command = plan
  variables {
    replicas = 0
  }
  expect_failures = [var.replicas]
}

run "rejects_project_id" {
  command = plan
  variables {
    project_id = "x"
  }
  expect_failures = [var.project_id]
}

run "rejects_labels_without_owner" {
  command = plan
  variables {
    labels = { environment = "production" }
  }
  expect_failures = [var.labels]
}
