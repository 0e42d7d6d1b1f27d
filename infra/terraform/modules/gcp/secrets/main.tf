# Secrets: their names, their key, who reads which, and when they are due. A value never enters plan or state: it is
# written by a write-only argument, or outside of Terraform (`gcloud secrets versions add`).
#
# Secret Manager rotates nothing itself. It tells a topic that a secret is due; a rotator, or a person, answers.

resource "google_pubsub_topic" "due" {
  project                    = var.project_id
  name                       = "${var.name}-secrets-due"
  kms_key_name               = var.kms_key
  message_retention_duration = "604800s" # 7 days
  labels                     = var.labels

  message_storage_policy {
    allowed_persistence_regions = [var.region]
  }
}

resource "google_pubsub_topic_iam_member" "agent" {
  project = var.project_id
  topic   = google_pubsub_topic.due.id
  role    = "roles/pubsub.publisher"
  member  = "serviceAccount:service-${var.project_number}@gcp-sa-secretmanager.iam.gserviceaccount.com"
}

# The first rotation of a new secret; later ones follow from the period.
resource "time_offset" "first" {
  for_each    = var.secrets
  offset_days = each.value.rotation_days
}

resource "google_secret_manager_secret" "this" {
  for_each = var.secrets

  project             = var.project_id
  secret_id           = each.key
  deletion_protection = true
  version_destroy_ttl = "2592000s" # a destroyed version comes back within 30 days
  labels              = var.labels

  replication {
    user_managed {
      replicas {
        location = var.region

        customer_managed_encryption {
          kms_key_name = var.kms_key
        }
      }
    }
  }

  topics {
    name = google_pubsub_topic.due.id
  }

  rotation {
    next_rotation_time = time_offset.first[each.key].rfc3339
    rotation_period    = "${each.value.rotation_days * 24 * 3600}s"
  }

  depends_on = [google_pubsub_topic_iam_member.agent]

  lifecycle {
    # Secret Manager moves it on by itself.
    ignore_changes = [rotation[0].next_rotation_time]
  }
}

resource "google_secret_manager_secret_version" "this" {
  for_each = { for name, secret in var.secrets : name => secret if secret.value_version > 0 }

  secret                 = google_secret_manager_secret.this[each.key].id
  secret_data_wo         = var.values[each.key]
  secret_data_wo_version = each.value.value_version
  deletion_policy        = "DISABLE"
}

locals {
  grants = merge([for name, secret in var.secrets : {
    for reader, member in secret.readers : "${name} ${reader}" => { secret = name, member = member }
  }]...)
}

resource "google_secret_manager_secret_iam_member" "reader" {
  for_each = local.grants

  project   = var.project_id
  secret_id = google_secret_manager_secret.this[each.value.secret].secret_id
  role      = "roles/secretmanager.secretAccessor"
  member    = each.value.member
}
