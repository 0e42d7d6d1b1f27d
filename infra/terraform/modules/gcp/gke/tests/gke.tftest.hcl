# What the cluster means: how it is reached, what it encrypts, how many nodes it has, and which input is refused.

mock_provider "google" {
  override_during = plan
}

variables {
  project_id     = "example-project"
  name           = "production-europe-west1"
  region         = "europe-west1"
  zones          = ["europe-west1-b", "europe-west1-c", "europe-west1-d"]
  network        = "network"
  subnet         = "private"
  pods_range     = "pods"
  services_range = "services"
  node_tag       = "egress"
  secrets_key    = "projects/example-project/locations/europe-west1/keyRings/production/cryptoKeys/cluster"
  disks_key      = "projects/example-project/locations/europe-west1/keyRings/production/cryptoKeys/nodes"
  labels         = { environment = "production", owner = "platform" }
}

run "no_address_reaches_the_control_plane" {
  command = plan

  assert {
    condition     = !google_container_cluster.this.control_plane_endpoints_config[0].ip_endpoints_config[0].enabled && length(google_container_cluster.this.master_authorized_networks_config) == 0
    error_message = "The control plane has an IP endpoint, or the block that switches it on again."
  }

  assert {
    condition     = !google_container_cluster.this.control_plane_endpoints_config[0].dns_endpoint_config[0].allow_external_traffic
    error_message = "The control plane answers outside Google Cloud unasked."
  }

  assert {
    condition     = google_container_cluster.this.private_cluster_config[0].enable_private_nodes && google_container_node_pool.this[0].network_config[0].enable_private_nodes
    error_message = "Nodes have external addresses."
  }

  assert {
    condition     = google_container_cluster.this.deletion_protection
    error_message = "The cluster may be deleted by an ordinary apply."
  }
}

run "everything_stored_has_a_customer_key" {
  command = plan

  assert {
    condition     = google_container_cluster.this.database_encryption[0].state == "ENCRYPTED" && google_container_cluster.this.database_encryption[0].key_name == var.secrets_key
    error_message = "Secrets in etcd have no customer key."
  }

  assert {
    condition     = google_container_node_pool.this[0].node_config[0].boot_disk_kms_key == var.disks_key
    error_message = "The nodes' disks have no customer key."
  }
}

run "policies_and_identities_are_on" {
  command = plan

  assert {
    condition     = google_container_cluster.this.datapath_provider == "ADVANCED_DATAPATH"
    error_message = "Network policies are not enforced: Dataplane V2 is off."
  }

  assert {
    condition     = google_container_cluster.this.workload_identity_config[0].workload_pool == "example-project.svc.id.goog" && google_container_node_pool.this[0].node_config[0].workload_metadata_config[0].mode == "GKE_METADATA"
    error_message = "Pods reach the node's identity."
  }

  assert {
    condition     = google_container_cluster.this.binary_authorization[0].evaluation_mode == "PROJECT_SINGLETON_POLICY_ENFORCE" && google_container_cluster.this.gateway_api_config[0].channel == "CHANNEL_STANDARD"
    error_message = "Binary Authorization or Gateway API is off."
  }

  assert {
    condition     = google_container_node_pool.this[0].node_config[0].shielded_instance_config[0].enable_secure_boot && google_container_node_pool.this[0].node_config[0].kubelet_config[0].insecure_kubelet_readonly_port_enabled == "FALSE"
    error_message = "Nodes boot unsigned code, or their kubelet answers without authentication."
  }

  assert {
    condition     = google_project_iam_member.nodes.role == "roles/container.defaultNodeServiceAccount"
    error_message = "Nodes may do more than nodes need."
  }
}

run "counts_are_those_of_the_cluster" {
  command = plan

  variables {
    nodes = { machine_type = "e2-medium", min = 3, max = 9 }
  }

  assert {
    condition     = google_container_node_pool.this[0].initial_node_count == 1 && google_container_node_pool.this[0].autoscaling[0].total_min_node_count == 3 && google_container_node_pool.this[0].autoscaling[0].total_max_node_count == 9
    error_message = "Three nodes in three zones would be nine."
  }

  assert {
    condition     = google_container_node_pool.this[0].node_locations == var.zones && google_container_node_pool.this[0].autoscaling[0].location_policy == "BALANCED"
    error_message = "Nodes are not spread over the zones."
  }
}

run "autopilot_says_nothing_that_autopilot_refuses" {
  command = plan

  variables {
    autopilot = true
  }

  assert {
    condition     = google_container_cluster.this.enable_autopilot && length(google_container_node_pool.this) == 0
    error_message = "Autopilot has node pools of its own."
  }

  assert {
    condition = alltrue([
      google_container_cluster.this.remove_default_node_pool == null,
      google_container_cluster.this.enable_shielded_nodes == null,
      length(google_container_cluster.this.workload_identity_config) == 0,
      length(google_container_cluster.this.addons_config[0].dns_cache_config) == 0,
    ])
    error_message = "An argument is set that Google refuses beside enable_autopilot."
  }

  assert {
    condition     = google_container_cluster.this.cluster_autoscaling[0].auto_provisioning_defaults[0].boot_disk_kms_key == var.disks_key && google_container_cluster.this.node_pool_auto_config[0].network_tags[0].tags == tolist(["egress"])
    error_message = "Autopilot's nodes have no customer key or no way out."
  }
}

run "backups_go_to_another_region_under_its_key" {
  command = plan

  variables {
    backup = { region = "europe-west4", kms_key = "projects/example-project/locations/europe-west4/keyRings/backup/cryptoKeys/backup" }
  }

  assert {
    condition     = google_gke_backup_backup_plan.this[0].location == "europe-west4" && google_gke_backup_backup_plan.this[0].backup_config[0].encryption_key[0].gcp_kms_encryption_key == var.backup.kms_key
    error_message = "The backup is beside the cluster, or without a customer key."
  }

  assert {
    condition     = google_gke_backup_backup_plan.this[0].retention_policy[0].backup_delete_lock_days == 7 && google_container_cluster.this.addons_config[0].gke_backup_agent_config[0].enabled
    error_message = "A backup can be deleted at once, or is never made."
  }
}

run "rejects_project_id" {
  command = plan
  variables {
    project_id = "x"
  }
  expect_failures = [var.project_id]
}

run "rejects_long_name" {
  command = plan
  variables {
    name = "production-of-the-company-europe-west1"
  }
  expect_failures = [var.name]
}

run "rejects_zonal_cluster" {
  command = plan
  variables {
    region = "europe-west1-b"
    zones  = ["europe-west1-b-x", "europe-west1-b-y", "europe-west1-b-z"]
  }
  expect_failures = [var.region]
}

run "rejects_two_zones" {
  command = plan
  variables {
    zones = ["europe-west1-b", "europe-west1-c"]
  }
  expect_failures = [var.zones]
}

run "rejects_zones_elsewhere" {
  command = plan
  variables {
    zones = ["europe-west1-b", "europe-west1-c", "us-east1-b"]
  }
  expect_failures = [var.zones]
}

run "rejects_old_kubernetes" {
  command = plan
  variables {
    kubernetes_version = "1.30"
  }
  expect_failures = [var.kubernetes_version]
}

run "rejects_release_channel" {
  command = plan
  variables {
    release_channel = "UNSPECIFIED"
  }
  expect_failures = [var.release_channel]
}

run "rejects_two_nodes" {
  command = plan
  variables {
    nodes = { min = 2 }
  }
  expect_failures = [var.nodes]
}

run "rejects_tiny_nodes" {
  command = plan
  variables {
    nodes = { machine_type = "e2-micro" }
  }
  expect_failures = [var.nodes]
}

run "rejects_secrets_key_of_another_region" {
  command = plan
  variables {
    secrets_key = "projects/example-project/locations/us-east1/keyRings/production/cryptoKeys/cluster"
  }
  expect_failures = [var.secrets_key]
}

run "rejects_disks_key_without_location" {
  command = plan
  variables {
    disks_key = "nodes"
  }
  expect_failures = [var.disks_key]
}

run "rejects_backup_beside_the_cluster" {
  command = plan
  variables {
    backup = { region = "europe-west1", kms_key = "key" }
  }
  expect_failures = [var.backup]
}

run "rejects_lock_beyond_retention" {
  command = plan
  variables {
    backup = { region = "europe-west4", kms_key = "key", retain_days = 7, lock_days = 8 }
  }
  expect_failures = [var.backup]
}

run "rejects_maintenance_day" {
  command = plan
  variables {
    maintenance = { days = "Sunday" }
  }
  expect_failures = [var.maintenance]
}

run "rejects_short_maintenance" {
  command = plan
  variables {
    maintenance = { hours = 1 }
  }
  expect_failures = [var.maintenance]
}

run "rejects_admins_group" {
  command = plan
  variables {
    admins_group = "admins@example.com"
  }
  expect_failures = [var.admins_group]
}

run "rejects_labels_without_owner" {
  command = plan
  variables {
    labels = { environment = "production" }
  }
  expect_failures = [var.labels]
}
