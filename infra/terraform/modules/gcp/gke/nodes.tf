# The nodes, and the account that they run as. Pods have accounts of their own (modules/gcp/iam).

resource "google_service_account" "nodes" {
  project      = var.project_id
  account_id   = "${var.name}-node"
  display_name = "Nodes of ${var.name}"
  description  = "Writes logs and metrics, pulls images; nothing else."
}

resource "google_project_iam_member" "nodes" {
  project = var.project_id
  role    = "roles/container.defaultNodeServiceAccount"
  member  = google_service_account.nodes.member
}

resource "google_container_node_pool" "this" {
  count = local.standard ? 1 : 0

  project        = var.project_id
  name_prefix    = "general-"
  cluster        = google_container_cluster.this.name
  location       = var.region
  node_locations = var.zones

  # Of a regional pool every plain count is per zone: node_count = 3 would be nine nodes. The total_* counts are not.
  initial_node_count = ceil(var.nodes.min / length(var.zones))

  autoscaling {
    total_min_node_count = var.nodes.min
    total_max_node_count = var.nodes.max
    location_policy      = var.nodes.spot ? "ANY" : "BALANCED"
  }

  management {
    auto_repair  = true
    auto_upgrade = true
  }

  # One more node at a time, none less: an upgrade takes no capacity away.
  upgrade_settings {
    strategy        = "SURGE"
    max_surge       = 1
    max_unavailable = 0
  }

  network_config {
    enable_private_nodes = true
  }

  node_config {
    machine_type      = var.nodes.machine_type
    image_type        = "COS_CONTAINERD"
    disk_type         = "pd-balanced"
    disk_size_gb      = var.nodes.disk_gb
    boot_disk_kms_key = var.disks_key
    spot              = var.nodes.spot
    service_account   = google_service_account.nodes.email
    oauth_scopes      = ["https://www.googleapis.com/auth/cloud-platform"]
    tags              = [var.node_tag]
    resource_labels   = var.labels
    logging_variant   = "DEFAULT"

    metadata = {
      disable-legacy-endpoints = "true"
    }

    shielded_instance_config {
      enable_secure_boot          = true
      enable_integrity_monitoring = true
    }

    workload_metadata_config {
      mode = "GKE_METADATA"
    }

    kubelet_config {
      insecure_kubelet_readonly_port_enabled = "FALSE"
      pod_pids_limit                         = 4096
    }

    gvnic {
      enabled = true
    }
  }

  lifecycle {
    create_before_destroy = true
    ignore_changes        = [initial_node_count]
  }
}
