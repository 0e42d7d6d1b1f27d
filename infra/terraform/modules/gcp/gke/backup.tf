# Backups of the cluster's objects and volumes, daily, in another region, with a key of that region. During the lock
# no account can delete a backup, the one that made it included.

resource "google_gke_backup_backup_plan" "this" {
  count = var.backup == null ? 0 : 1

  project     = var.project_id
  name        = var.name
  description = "Everything in ${var.name}, daily."
  cluster     = google_container_cluster.this.id
  location    = var.backup.region
  labels      = var.labels

  backup_schedule {
    cron_schedule = "30 3 * * *"
  }

  retention_policy {
    backup_retain_days      = var.backup.retain_days
    backup_delete_lock_days = var.backup.lock_days
  }

  backup_config {
    all_namespaces      = true
    include_secrets     = true
    include_volume_data = true

    encryption_key {
      gcp_kms_encryption_key = var.backup.kms_key
    }
  }
}
