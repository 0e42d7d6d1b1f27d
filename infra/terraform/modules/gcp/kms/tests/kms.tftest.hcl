# What the keys mean: rotation, protection, who may use which, and which input is refused.

mock_provider "google" {
  override_during = plan
}

variables {
  project_id     = "example-project"
  project_number = 123456789012
  name           = "production-europe-west1"
  location       = "europe-west1"
  labels         = { environment = "production", owner = "platform" }
  keys           = { nodes = ["compute", "gke"], database = ["sql"] }
}

run "keys_rotate_in_hardware_and_survive_a_destroy" {
  command = plan

  assert {
    condition     = alltrue([for key in google_kms_crypto_key.this : key.rotation_period == "7776000s" && key.version_template[0].protection_level == "HSM"])
    error_message = "A key does not rotate, or is not in hardware."
  }

  assert {
    condition     = alltrue([for key in google_kms_crypto_key.this : key.destroy_scheduled_duration == "2592000s"])
    error_message = "A destroyed key is gone in less than 30 days."
  }
}

run "only_the_named_services_encrypt" {
  command = plan

  assert {
    condition = { for name, grant in google_kms_crypto_key_iam_member.agent : name => grant.member } == {
      "nodes/compute" = "serviceAccount:service-123456789012@compute-system.iam.gserviceaccount.com"
      "nodes/gke"     = "serviceAccount:service-123456789012@container-engine-robot.iam.gserviceaccount.com"
      "database/sql"  = "serviceAccount:service-123456789012@gcp-sa-cloud-sql.iam.gserviceaccount.com"
    }
    error_message = "Another service than the named ones may use a key."
  }
}

run "rejects_project_id" {
  command = plan
  variables {
    project_id = "-"
  }
  expect_failures = [var.project_id]
}

run "rejects_project_number" {
  command = plan
  variables {
    project_number = 0.5
  }
  expect_failures = [var.project_number]
}

run "rejects_name" {
  command = plan
  variables {
    name = "production/europe"
  }
  expect_failures = [var.name]
}

run "rejects_zone_as_location" {
  command = plan
  variables {
    location = "europe-west1-b"
  }
  expect_failures = [var.location]
}

run "rejects_key_without_service" {
  command = plan
  variables {
    keys = { idle = [] }
  }
  expect_failures = [var.keys]
}

run "rejects_unknown_service" {
  command = plan
  variables {
    keys = { lake = ["bigquery"] }
  }
  expect_failures = [var.keys]
}

run "rejects_protection_level" {
  command = plan
  variables {
    protection_level = "EXTERNAL"
  }
  expect_failures = [var.protection_level]
}

run "rejects_labels_without_owner" {
  command = plan
  variables {
    labels = { environment = "production" }
  }
  expect_failures = [var.labels]
}
