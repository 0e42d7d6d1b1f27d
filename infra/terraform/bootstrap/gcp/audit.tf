# The audit logs of every project, copied to a bucket of the bootstrap project. No account can delete its objects before
# their time, those of the environments' administrators included.

resource "google_project_iam_audit_config" "this" {
  for_each = merge({ bootstrap = { project_id = var.project_id } }, var.environments)

  project = each.value.project_id
  service = "allServices"

  dynamic "audit_log_config" {
    for_each = toset(["ADMIN_READ", "DATA_READ", "DATA_WRITE"])

    content {
      log_type = audit_log_config.value
    }
  }
}

resource "google_storage_bucket" "audit" {
  project                     = var.project_id
  name                        = "${var.project_id}-audit"
  location                    = var.region
  storage_class               = "STANDARD"
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = false
  labels                      = var.labels

  encryption {
    default_kms_key_name = google_kms_crypto_key_iam_member.storage["audit"].crypto_key_id
  }

  # Locked: the time can be made longer, never shorter. Versions and such a retention exclude each other.
  retention_policy {
    retention_period = var.audit_retention_days * 24 * 3600
    is_locked        = true
  }

  lifecycle_rule {
    action {
      type          = "SetStorageClass"
      storage_class = "ARCHIVE"
    }

    condition {
      age = 90
    }
  }

  lifecycle_rule {
    action {
      type = "Delete"
    }

    condition {
      age = var.audit_retention_days + 30
    }
  }

  lifecycle {
    prevent_destroy = true
  }
}

resource "google_logging_project_sink" "audit" {
  for_each = google_project_iam_audit_config.this

  project                = each.value.project
  name                   = "audit"
  description            = "Audit logs to the bootstrap project."
  destination            = "storage.googleapis.com/${google_storage_bucket.audit.name}"
  filter                 = "logName:\"cloudaudit.googleapis.com\""
  unique_writer_identity = true
}

resource "google_storage_bucket_iam_member" "audit" {
  for_each = google_logging_project_sink.audit

  bucket = google_storage_bucket.audit.name
  role   = "roles/storage.objectCreator"
  member = each.value.writer_identity
}
