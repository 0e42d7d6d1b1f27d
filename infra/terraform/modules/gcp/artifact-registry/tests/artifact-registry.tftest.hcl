# What the repository means: tags that never move, keys, who pulls and pushes, what clusters refuse, and refused input.

mock_provider "google" {
  override_during = plan

  mock_data "google_kms_crypto_key_version" {
    defaults = {
      id         = "projects/p/locations/europe/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1"
      public_key = [{ algorithm = "EC_SIGN_P256_SHA256", pem = "pem" }]
    }
  }
}

variables {
  project_id = "example-project"
  kms_key    = "projects/example-project/locations/europe/keyRings/images/cryptoKeys/images"
  readers    = { nodes = "serviceAccount:nodes@example-project.iam.gserviceaccount.com" }
  writers    = { pipeline = "serviceAccount:pipeline@example-project.iam.gserviceaccount.com" }
  labels     = { environment = "production", owner = "platform" }
}

run "images_are_immutable_and_under_a_customer_key" {
  command = plan

  assert {
    condition     = google_artifact_registry_repository.this.docker_config[0].immutable_tags && google_artifact_registry_repository.this.kms_key_name == var.kms_key
    error_message = "A tag may move, or images have no customer key."
  }

  assert {
    condition     = contains([for policy in google_artifact_registry_repository.this.cleanup_policies : policy.action], "KEEP") && !google_artifact_registry_repository.this.cleanup_policy_dry_run
    error_message = "Old images stay for ever, or the newest are deleted."
  }
}

run "nodes_pull_and_the_pipeline_pushes" {
  command = plan

  assert {
    condition     = google_artifact_registry_repository_iam_member.reader["nodes"].role == "roles/artifactregistry.reader" && google_artifact_registry_repository_iam_member.writer["pipeline"].role == "roles/artifactregistry.writer"
    error_message = "A reader may write, or the pipeline may delete."
  }
}

run "clusters_refuse_what_the_pipeline_did_not_attest" {
  command = plan

  assert {
    condition     = google_binary_authorization_policy.this.default_admission_rule[0].evaluation_mode == "REQUIRE_ATTESTATION" && google_binary_authorization_policy.this.default_admission_rule[0].enforcement_mode == "ENFORCED_BLOCK_AND_AUDIT_LOG"
    error_message = "Images without an attestation run."
  }

  assert {
    condition     = google_kms_crypto_key.signing.version_template[0].protection_level == "HSM" && google_kms_crypto_key.signing.purpose == "ASYMMETRIC_SIGN"
    error_message = "The signing key can be copied."
  }
}

run "development_may_only_log" {
  command = plan

  variables {
    enforce        = false
    allowed_images = ["europe-docker.pkg.dev/example-project/mirror/*"]
  }

  assert {
    condition     = google_binary_authorization_policy.this.default_admission_rule[0].enforcement_mode == "DRYRUN_AUDIT_LOG_ONLY" && length(google_binary_authorization_policy.this.admission_whitelist_patterns) == 1
    error_message = "The policy is not what was asked for."
  }
}

run "rejects_location" {
  command = plan
  variables {
    location = "eu"
  }
  expect_failures = [var.location]
}

run "rejects_name" {
  command = plan
  variables {
    name = "Thalweg"
  }
  expect_failures = [var.name]
}

run "rejects_key_elsewhere" {
  command = plan
  variables {
    kms_key = "projects/example-project/locations/us/keyRings/images/cryptoKeys/images"
  }
  expect_failures = [var.kms_key]
}

run "rejects_keeping_nothing" {
  command = plan
  variables {
    keep = 0
  }
  expect_failures = [var.keep]
}

run "rejects_public_readers" {
  command = plan
  variables {
    readers = { public = "allUsers" }
  }
  expect_failures = [var.readers]
}

run "rejects_a_person_who_pushes" {
  command = plan
  variables {
    writers = { someone = "user:someone@example.com" }
  }
  expect_failures = [var.writers]
}

run "rejects_a_whole_registry" {
  command = plan
  variables {
    allowed_images = ["docker.io/*"]
  }
  expect_failures = [var.allowed_images]
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
