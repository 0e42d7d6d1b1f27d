# Who the machines are, who reaches them, and the two things that they share with Google: the join token and etcd's
# snapshots.

module "keys" {
  source = "../gcp/kms"

  project_id     = var.project_id
  project_number = var.project_number
  name           = var.name
  location       = local.region
  labels         = var.labels
  keys           = { machines = ["compute"], join = ["secrets"] }
}

module "snapshot_keys" {
  source = "../gcp/kms"

  project_id     = var.project_id
  project_number = var.project_number
  name           = "${var.name}-snapshots"
  location       = var.snapshots_region
  labels         = var.labels
  keys           = { snapshots = ["storage"] }
}

resource "google_service_account" "this" {
  for_each = toset(["control-plane", "worker"])

  project      = var.project_id
  account_id   = "${var.name}-${each.key}"
  display_name = "${var.name} ${each.key}"
  description  = each.key == "worker" ? "Reads the join token." : "Publishes the join token, adds snapshots."
}

resource "google_project_iam_member" "logs" {
  for_each = { for pair in setproduct(["control-plane", "worker"], ["roles/logging.logWriter", "roles/monitoring.metricWriter"]) : join(" ", pair) => pair }

  project = var.project_id
  role    = each.value[1]
  member  = google_service_account.this[each.value[0]].member
}

resource "google_secret_manager_secret" "join" {
  project   = var.project_id
  secret_id = "${var.name}-join"
  labels    = var.labels

  replication {
    user_managed {
      replicas {
        location = local.region

        customer_managed_encryption {
          kms_key_name = module.keys.keys["join"]
        }
      }
    }
  }
}

resource "google_secret_manager_secret_iam_member" "join" {
  for_each = { control-plane = "roles/secretmanager.secretVersionManager", worker = "roles/secretmanager.secretAccessor" }

  project   = var.project_id
  secret_id = google_secret_manager_secret.join.secret_id
  role      = each.value
  member    = google_service_account.this[each.key].member
}

resource "google_storage_bucket" "snapshots" {
  project                     = var.project_id
  name                        = "${var.project_id}-${var.name}-snapshots"
  location                    = var.snapshots_region
  storage_class               = "STANDARD"
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = false
  labels                      = var.labels

  encryption {
    default_kms_key_name = module.snapshot_keys.keys["snapshots"]
  }

  versioning {
    enabled = true
  }

  lifecycle_rule {
    action {
      type = "Delete"
    }

    condition {
      age = 35
    }
  }

  soft_delete_policy {
    retention_duration_seconds = 604800
  }
}

# The machine adds objects and can neither read nor delete them: an intruder there gets no older snapshot.
resource "google_storage_bucket_iam_member" "snapshots" {
  bucket = google_storage_bucket.snapshots.name
  role   = "roles/storage.objectCreator"
  member = google_service_account.this["control-plane"].member
}

resource "google_iap_tunnel_instance_iam_member" "operator" {
  for_each = { for pair in setproduct(keys(local.machines), var.operators) : join(" ", pair) => { machine = pair[0], member = pair[1] } }

  project  = var.project_id
  zone     = var.zone
  instance = google_compute_instance.this[each.value.machine].name
  role     = "roles/iap.tunnelResourceAccessor"
  member   = each.value.member
}

resource "google_compute_instance_iam_member" "operator" {
  for_each = { for pair in setproduct(keys(local.machines), var.operators) : join(" ", pair) => { machine = pair[0], member = pair[1] } }

  project       = var.project_id
  zone          = var.zone
  instance_name = google_compute_instance.this[each.value.machine].name
  role          = "roles/compute.osAdminLogin"
  member        = each.value.member
}

# OS Login asks operators for the right to act as the machine's account.
resource "google_service_account_iam_member" "operator" {
  for_each = { for pair in setproduct(["control-plane", "worker"], var.operators) : join(" ", pair) => { account = pair[0], member = pair[1] } }

  service_account_id = google_service_account.this[each.value.account].name
  role               = "roles/iam.serviceAccountUser"
  member             = each.value.member
}
