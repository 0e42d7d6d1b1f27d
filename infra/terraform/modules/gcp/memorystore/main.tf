# Valkey on Memorystore: one shard with replicas over the region's zones, TLS only, login by IAM, a customer key, daily
# snapshots. Cluster mode is off, because the application's client speaks to one address.
#
# Memorystore has no users of its own: a client logs in as its account, with a token of an hour as the password, and
# roles/memorystore.dbConnectionUser (modules/gcp/iam) decides. The application takes its REDIS_URL as rediss://.

locals {
  engine = "VALKEY_${replace(var.valkey_version, ".", "_")}"
}

resource "google_memorystore_instance" "this" {
  project                     = var.project_id
  instance_id                 = var.name
  location                    = var.region
  engine_version              = local.engine
  mode                        = "CLUSTER_DISABLED"
  shard_count                 = 1
  replica_count               = var.replicas
  node_type                   = var.node_type
  authorization_mode          = "IAM_AUTH"
  transit_encryption_mode     = "SERVER_AUTHENTICATION"
  kms_key                     = var.kms_key
  deletion_protection_enabled = var.deletion_protection
  labels                      = var.labels

  # A full cache drops what was used longest ago instead of refusing to write.
  engine_configs = {
    maxmemory-policy = "allkeys-lru"
  }

  zone_distribution_config {
    mode = "MULTI_ZONE"
  }

  desired_auto_created_endpoints {
    network    = var.network
    project_id = var.project_id
  }

  persistence_config {
    mode = "RDB"

    rdb_config {
      rdb_snapshot_period = "TWELVE_HOURS"
    }
  }

  automated_backup_config {
    retention = "3024000s" # 35 days

    fixed_frequency_schedule {
      start_time {
        hours = 2
      }
    }
  }

  maintenance_policy {
    weekly_maintenance_window {
      day = "SUNDAY"

      start_time {
        hours   = 3
        minutes = 0
        seconds = 0
        nanos   = 0
      }
    }
  }
}
