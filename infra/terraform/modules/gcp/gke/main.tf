# One regional cluster: private nodes, a control plane that is reached by its DNS name under IAM and has no IP
# endpoint, Dataplane V2, workload identity, Gateway API, own keys, and images that Binary Authorization admits. Nodes
# are in nodes.tf, backups in backup.tf.

locals {
  standard = !var.autopilot
}

resource "google_container_cluster" "this" {
  project     = var.project_id
  name        = var.name
  description = "Cluster ${var.name}."
  location    = var.region
  network     = var.network
  subnetwork  = var.subnet

  min_master_version  = var.kubernetes_version
  deletion_protection = var.deletion_protection
  resource_labels     = var.labels

  # null leaves to Autopilot what Autopilot decides; Google refuses these arguments beside enable_autopilot.
  enable_autopilot            = var.autopilot ? true : null
  node_locations              = local.standard ? var.zones : null
  remove_default_node_pool    = local.standard ? true : null
  initial_node_count          = local.standard ? 1 : null
  enable_shielded_nodes       = local.standard ? true : null
  enable_intranode_visibility = local.standard ? true : null
  default_max_pods_per_node   = local.standard ? 64 : null
  enable_l4_ilb_subsetting    = local.standard ? true : null

  networking_mode    = "VPC_NATIVE"
  datapath_provider  = "ADVANCED_DATAPATH"
  enable_legacy_abac = false

  release_channel {
    channel = var.release_channel
  }

  ip_allocation_policy {
    cluster_secondary_range_name  = var.pods_range
    services_secondary_range_name = var.services_range
  }

  private_cluster_config {
    enable_private_nodes    = true
    enable_private_endpoint = true
  }

  # No master_authorized_networks_config: that block switches the IP endpoints on again.
  control_plane_endpoints_config {
    dns_endpoint_config {
      allow_external_traffic = var.external_api
    }

    ip_endpoints_config {
      enabled = false
    }
  }

  master_auth {
    client_certificate_config {
      issue_client_certificate = false
    }
  }

  anonymous_authentication_config {
    mode = "LIMITED"
  }

  rbac_binding_config {
    enable_insecure_binding_system_authenticated   = false
    enable_insecure_binding_system_unauthenticated = false
  }

  dynamic "authenticator_groups_config" {
    for_each = var.admins_group == "" ? [] : [var.admins_group]

    content {
      security_group = authenticator_groups_config.value
    }
  }

  dynamic "workload_identity_config" {
    for_each = local.standard ? [1] : []

    content {
      workload_pool = "${var.project_id}.svc.id.goog"
    }
  }

  database_encryption {
    state    = "ENCRYPTED"
    key_name = var.secrets_key
  }

  binary_authorization {
    evaluation_mode = "PROJECT_SINGLETON_POLICY_ENFORCE"
  }

  gateway_api_config {
    channel = "CHANNEL_STANDARD"
  }

  secret_manager_config {
    enabled = true
  }

  security_posture_config {
    mode               = "BASIC"
    vulnerability_mode = "VULNERABILITY_BASIC"
  }

  service_external_ips_config {
    enabled = false
  }

  cost_management_config {
    enabled = true
  }

  vertical_pod_autoscaling {
    enabled = true
  }

  logging_config {
    enable_components = ["SYSTEM_COMPONENTS", "WORKLOADS", "APISERVER", "CONTROLLER_MANAGER", "SCHEDULER"]
  }

  monitoring_config {
    enable_components = ["SYSTEM_COMPONENTS", "APISERVER", "CONTROLLER_MANAGER", "SCHEDULER"]

    managed_prometheus {
      enabled = true
    }

    # Which policy dropped which flow: the answer to most questions about a NetworkPolicy.
    advanced_datapath_observability_config {
      enable_metrics = true
      enable_relay   = true
    }
  }

  addons_config {
    http_load_balancing {
      disabled = false
    }

    horizontal_pod_autoscaling {
      disabled = false
    }

    gke_backup_agent_config {
      enabled = var.backup != null
    }

    dynamic "gce_persistent_disk_csi_driver_config" {
      for_each = local.standard ? [1] : []

      content {
        enabled = true
      }
    }

    dynamic "dns_cache_config" {
      for_each = local.standard ? [1] : []

      content {
        enabled = true
      }
    }
  }

  # Autopilot makes its nodes itself; account, key and tag are all that it lets a caller say.
  dynamic "cluster_autoscaling" {
    for_each = var.autopilot ? [1] : []

    content {
      auto_provisioning_defaults {
        service_account   = google_service_account.nodes.email
        oauth_scopes      = ["https://www.googleapis.com/auth/cloud-platform"]
        boot_disk_kms_key = var.disks_key
      }
    }
  }

  dynamic "node_pool_auto_config" {
    for_each = var.autopilot ? [1] : []

    content {
      network_tags {
        tags = [var.node_tag]
      }

      node_kubelet_config {
        insecure_kubelet_readonly_port_enabled = "FALSE"
      }
    }
  }

  # The first pool lives for minutes, until it is removed; organisations refuse it unless it is like the others.
  dynamic "node_config" {
    for_each = local.standard ? [1] : []

    content {
      service_account   = google_service_account.nodes.email
      oauth_scopes      = ["https://www.googleapis.com/auth/cloud-platform"]
      boot_disk_kms_key = var.disks_key
      tags              = [var.node_tag]

      shielded_instance_config {
        enable_secure_boot          = true
        enable_integrity_monitoring = true
      }

      workload_metadata_config {
        mode = "GKE_METADATA"
      }
    }
  }

  maintenance_policy {
    recurring_window {
      # The date only says when the rule begins.
      start_time = format("2026-01-03T%02d:00:00Z", var.maintenance.start)
      end_time   = format("2026-01-03T%02d:00:00Z", var.maintenance.start + var.maintenance.hours)
      recurrence = "FREQ=WEEKLY;BYDAY=${var.maintenance.days}"
    }
  }

  lifecycle {
    # node_config belongs to the pool that was removed; min_master_version is where the channel began.
    ignore_changes = [node_config, min_master_version, initial_node_count]
  }

  timeouts {
    create = "60m"
    update = "60m"
    delete = "60m"
  }
}
