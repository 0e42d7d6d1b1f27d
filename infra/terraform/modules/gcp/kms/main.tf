# One key ring and its keys. Why one module and not a key inside each module that stores something: a ring cannot be
# deleted, the names of Google's service agents have one place here, and the right to destroy these keys is the right
# to destroy all data.

locals {
  # Google's own accounts that encrypt for a service. They exist once the service has been switched on in the project
  # (bootstrap/gcp makes those that Google makes late).
  agents = {
    artifact-registry = "service-${var.project_number}@gcp-sa-artifactregistry.iam.gserviceaccount.com"
    backup            = "service-${var.project_number}@gcp-sa-gkebackup.iam.gserviceaccount.com"
    compute           = "service-${var.project_number}@compute-system.iam.gserviceaccount.com"
    gke               = "service-${var.project_number}@container-engine-robot.iam.gserviceaccount.com"
    memorystore       = "service-${var.project_number}@gcp-sa-memorystore.iam.gserviceaccount.com"
    pubsub            = "service-${var.project_number}@gcp-sa-pubsub.iam.gserviceaccount.com"
    secrets           = "service-${var.project_number}@gcp-sa-secretmanager.iam.gserviceaccount.com"
    sql               = "service-${var.project_number}@gcp-sa-cloud-sql.iam.gserviceaccount.com"
    storage           = "service-${var.project_number}@gs-project-accounts.iam.gserviceaccount.com"
  }

  grants = merge([for key, services in var.keys : {
    for service in services : "${key}/${service}" => { key = key, service = service }
  }]...)
}

resource "google_kms_key_ring" "this" {
  project  = var.project_id
  name     = var.name
  location = var.location
}

resource "google_kms_crypto_key" "this" {
  for_each = var.keys

  name                       = each.key
  key_ring                   = google_kms_key_ring.this.id
  purpose                    = "ENCRYPT_DECRYPT"
  rotation_period            = "7776000s" # 90 days; old versions stay, because old data needs them
  destroy_scheduled_duration = "2592000s" # 30 days
  labels                     = var.labels

  version_template {
    algorithm        = "GOOGLE_SYMMETRIC_ENCRYPTION"
    protection_level = var.protection_level
  }

  # Destroying a key destroys everything that it encrypts, backups included.
  lifecycle {
    prevent_destroy = true
  }
}

resource "google_kms_crypto_key_iam_member" "agent" {
  for_each = local.grants

  crypto_key_id = google_kms_crypto_key.this[each.value.key].id
  role          = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
  member        = "serviceAccount:${local.agents[each.value.service]}"
}
