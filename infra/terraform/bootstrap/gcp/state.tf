# State: one bucket and one key for each environment. Google's backend locks natively, with an object beside the state;
# Google Cloud Storage answers over TLS only.

data "google_storage_project_service_account" "this" {
  project    = var.project_id
  depends_on = [google_project_service.bootstrap]
}

resource "google_kms_key_ring" "this" {
  project    = var.project_id
  name       = "thalweg-bootstrap"
  location   = var.region
  depends_on = [google_project_service.bootstrap]
}

resource "google_kms_crypto_key" "this" {
  for_each = setunion(keys(var.environments), ["audit", "bootstrap"])

  name                       = each.key
  key_ring                   = google_kms_key_ring.this.id
  rotation_period            = "7776000s" # 90 days
  destroy_scheduled_duration = "2592000s" # 30 days
  labels                     = var.labels

  version_template {
    algorithm        = "GOOGLE_SYMMETRIC_ENCRYPTION"
    protection_level = "HSM"
  }

  lifecycle {
    prevent_destroy = true
  }
}

resource "google_kms_crypto_key_iam_member" "storage" {
  for_each = google_kms_crypto_key.this

  crypto_key_id = each.value.id
  role          = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
  member        = data.google_storage_project_service_account.this.member
}

resource "google_storage_bucket" "state" {
  for_each = setunion(keys(var.environments), ["bootstrap"])

  project                     = var.project_id
  name                        = "${var.project_id}-state-${each.key}"
  location                    = var.region
  storage_class               = "STANDARD"
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = false
  labels                      = merge(var.labels, { environment = each.key })

  encryption {
    default_kms_key_name = google_kms_crypto_key_iam_member.storage[each.key].crypto_key_id
  }

  versioning {
    enabled = true
  }

  # The last hundred states stay for ever, older ones for 90 days after they were replaced.
  lifecycle_rule {
    action {
      type = "Delete"
    }

    condition {
      num_newer_versions         = 100
      days_since_noncurrent_time = 90
    }
  }

  # A deleted state, or a deleted bucket, comes back within 30 days.
  soft_delete_policy {
    retention_duration_seconds = 2592000
  }

  lifecycle {
    prevent_destroy = true
  }
}
