# What the secrets mean: keys, readers, rotation, values that are nowhere, and refused input.

mock_provider "google" {
  override_during = plan
}

mock_provider "time" {
  override_during = plan
}

variables {
  project_id     = "example-project"
  project_number = 123456789012
  name           = "production-europe-west1"
  region         = "europe-west1"
  kms_key        = "projects/example-project/locations/europe-west1/keyRings/production/cryptoKeys/secrets"
  labels         = { environment = "production", owner = "platform" }
  values         = { database-url = "postgresql://not-to-be-found" }
  secrets = {
    database-url = { readers = { app = "serviceAccount:app@example-project.iam.gserviceaccount.com" }, value_version = 1 }
    admin-token  = { rotation_days = 30 }
  }
}

run "secrets_have_a_key_and_a_region" {
  command = plan

  assert {
    condition     = alltrue([for secret in google_secret_manager_secret.this : secret.replication[0].user_managed[0].replicas[0].customer_managed_encryption[0].kms_key_name == var.kms_key])
    error_message = "A secret has no customer key."
  }

  assert {
    condition     = google_pubsub_topic.due.kms_key_name == var.kms_key && tolist(google_pubsub_topic.due.message_storage_policy[0].allowed_persistence_regions) == tolist(["europe-west1"])
    error_message = "Messages about secrets leave the region or have no customer key."
  }
}

run "values_are_written_and_not_kept" {
  command = plan

  assert {
    condition     = keys(google_secret_manager_secret_version.this) == ["database-url"] && google_secret_manager_secret_version.this["database-url"].secret_data == null
    error_message = "A value is in the plan."
  }
}

run "each_secret_has_its_readers_and_its_period" {
  command = plan

  assert {
    condition     = [for grant in google_secret_manager_secret_iam_member.reader : "${grant.secret_id} ${grant.role}"] == ["database-url roles/secretmanager.secretAccessor"]
    error_message = "Another account reads a secret."
  }

  assert {
    condition     = google_secret_manager_secret.this["admin-token"].rotation[0].rotation_period == "2592000s" && length(google_secret_manager_secret.this["admin-token"].topics) == 1
    error_message = "No topic is told that a secret is due."
  }
}

run "rejects_name" {
  command = plan
  variables {
    name = "Production"
  }
  expect_failures = [var.name]
}

run "rejects_region" {
  command = plan
  variables {
    region = "global"
  }
  expect_failures = [var.region]
}

run "rejects_key_elsewhere" {
  command = plan
  variables {
    kms_key = "projects/example-project/locations/us-east1/keyRings/production/cryptoKeys/secrets"
  }
  expect_failures = [var.kms_key]
}

run "rejects_project_number" {
  command = plan
  variables {
    project_number = -1
  }
  expect_failures = [var.project_number]
}

run "rejects_secret_name" {
  command = plan
  variables {
    secrets = { "database/url" = {} }
  }
  expect_failures = [var.secrets]
}

run "rejects_no_rotation" {
  command = plan
  variables {
    secrets = { database-url = { rotation_days = 0 } }
  }
  expect_failures = [var.secrets]
}

run "rejects_a_person_who_reads" {
  command = plan
  variables {
    secrets = { database-url = { readers = { someone = "user:someone@example.com" } } }
  }
  expect_failures = [var.secrets]
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
