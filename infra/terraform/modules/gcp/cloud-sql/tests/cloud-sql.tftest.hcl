# What the database means: who reaches it and how, what survives a zone and a region, and refused input.

mock_provider "google" {
  override_during = plan

  mock_resource "google_sql_database_instance" {
    defaults = { dns_name = "abc.europe-west1.sql.goog.", psc_service_attachment_link = "attachment" }
  }
}

variables {
  project_id       = "example-project"
  name             = "production-europe-west1"
  region           = "europe-west1"
  network          = "network"
  endpoints_subnet = "endpoints"
  kms_key          = "projects/example-project/locations/europe-west1/keyRings/production/cryptoKeys/database"
  users            = ["fastapi-app@example-project.iam"]
  backup_region    = "europe-west4"
  labels           = { environment = "production", owner = "platform" }
}

run "only_the_network_reaches_it_and_only_by_tls" {
  command = plan

  assert {
    condition     = !google_sql_database_instance.this.settings[0].ip_configuration[0].ipv4_enabled && length(google_sql_database_instance.this.settings[0].ip_configuration[0].authorized_networks) == 0
    error_message = "The database has a public address."
  }

  assert {
    condition     = google_sql_database_instance.this.settings[0].ip_configuration[0].ssl_mode == "TRUSTED_CLIENT_CERTIFICATE_REQUIRED"
    error_message = "The database answers without TLS, or without knowing the client."
  }

  assert {
    condition     = google_compute_forwarding_rule.this.target == "attachment" && google_dns_record_set.this.name == google_dns_managed_zone.this.dns_name
    error_message = "The database's name does not lead to its endpoint."
  }
}

run "login_is_by_iam_and_no_password_exists" {
  command = plan

  assert {
    condition     = alltrue([for user in google_sql_user.this : user.type == "CLOUD_IAM_SERVICE_ACCOUNT" && user.password == null]) && google_sql_database_instance.this.root_password == null
    error_message = "A user has a password."
  }

  assert {
    condition     = contains([for flag in google_sql_database_instance.this.settings[0].database_flags : "${flag.name}=${flag.value}"], "cloudsql.iam_authentication=on")
    error_message = "Login by IAM is off."
  }
}

run "it_survives_a_zone_and_its_backups_a_region" {
  command = plan

  assert {
    condition     = google_sql_database_instance.this.settings[0].availability_type == "REGIONAL"
    error_message = "The database dies with its zone."
  }

  assert {
    condition     = google_sql_database_instance.this.settings[0].backup_configuration[0].location == "europe-west4" && google_sql_database_instance.this.settings[0].backup_configuration[0].point_in_time_recovery_enabled
    error_message = "Backups are beside the database, or recovery is to midnight only."
  }

  assert {
    condition     = google_sql_database_instance.this.deletion_protection && google_sql_database_instance.this.settings[0].deletion_protection_enabled && google_sql_database_instance.this.encryption_key_name == var.kms_key
    error_message = "The database can be deleted by an ordinary apply, or has no customer key."
  }

  assert {
    condition     = length(google_sql_database_instance.replica) == 0
    error_message = "A copy appears unasked."
  }
}

run "a_copy_stands_in_another_region_under_its_key" {
  command = plan

  variables {
    replica = { region = "europe-west4", kms_key = "projects/example-project/locations/europe-west4/keyRings/copy/cryptoKeys/database" }
  }

  assert {
    condition     = google_sql_database_instance.replica[0].region == "europe-west4" && google_sql_database_instance.replica[0].encryption_key_name == var.replica.kms_key && google_sql_database_instance.replica[0].master_instance_name == "production-europe-west1"
    error_message = "The copy is beside the database, without a key or of something else."
  }

  assert {
    condition     = !google_sql_database_instance.replica[0].settings[0].ip_configuration[0].ipv4_enabled && google_sql_database_instance.replica[0].settings[0].ip_configuration[0].ssl_mode == "TRUSTED_CLIENT_CERTIFICATE_REQUIRED"
    error_message = "The copy is public or answers without TLS."
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
    region = "europe-west1-b"
  }
  expect_failures = [var.region]
}

run "rejects_key_elsewhere" {
  command = plan
  variables {
    kms_key = "projects/example-project/locations/us-east1/keyRings/production/cryptoKeys/database"
  }
  expect_failures = [var.kms_key]
}

run "rejects_old_postgres" {
  command = plan
  variables {
    postgres_version = 12
  }
  expect_failures = [var.postgres_version]
}

run "rejects_shared_core" {
  command = plan
  variables {
    tier = "db-f1-micro"
  }
  expect_failures = [var.tier]
}

run "rejects_small_disk" {
  command = plan
  variables {
    disk_gb = 1
  }
  expect_failures = [var.disk_gb]
}

run "rejects_database_name" {
  command = plan
  variables {
    databases = ["app-1"]
  }
  expect_failures = [var.databases]
}

run "rejects_user_with_a_password" {
  command = plan
  variables {
    users = ["postgres"]
  }
  expect_failures = [var.users]
}

run "rejects_backups_beside_the_database" {
  command = plan
  variables {
    backup_region = "europe-west1"
  }
  expect_failures = [var.backup_region]
}

run "rejects_few_backups" {
  command = plan
  variables {
    retained_backups = 1
  }
  expect_failures = [var.retained_backups]
}

run "rejects_copy_with_a_key_of_another_region" {
  command = plan
  variables {
    replica = { region = "europe-west4", kms_key = "projects/example-project/locations/europe-west1/keyRings/production/cryptoKeys/database" }
  }
  expect_failures = [var.replica]
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
