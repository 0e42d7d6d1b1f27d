# What the machines mean: addresses, who reaches them, keys, the token that is nowhere, and which input is refused.

mock_provider "google" {
  override_during = plan

  mock_resource "google_kms_crypto_key" {
    defaults = { id = "key" }
  }
}

variables {
  project_id       = "example-project"
  project_number   = 123456789012
  zone             = "asia-south1-a"
  snapshots_region = "asia-south2"
  operators        = ["group:oncall@example.com"]
  labels           = { environment = "development", owner = "platform" }
}

run "three_machines_at_their_addresses" {
  command = plan

  assert {
    condition = { for key, machine in google_compute_instance.this : key => machine.network_interface[0].network_ip } == {
      control-plane = "10.160.0.3"
      worker-1      = "10.160.0.4"
      worker-2      = "10.160.0.5"
    }
    error_message = "The machines are not at 10.160.0.3 to 10.160.0.5."
  }

  assert {
    condition     = alltrue([for machine in google_compute_instance.this : length(machine.network_interface[0].access_config) == 0 && machine.machine_type == "e2-medium"])
    error_message = "A machine has an external address, or another size."
  }
}

run "only_operators_come_and_only_through_the_proxy" {
  command = plan

  assert {
    condition     = google_compute_firewall.ssh.source_ranges == toset(["35.235.240.0/20"]) && length(google_compute_firewall.node_ports) == 0
    error_message = "SSH or node ports are open to others."
  }

  assert {
    condition     = alltrue([for machine in google_compute_instance.this : machine.metadata["enable-oslogin"] == "TRUE" && machine.metadata["block-project-ssh-keys"] == "TRUE"])
    error_message = "A key in the project's metadata opens a machine."
  }

  assert {
    condition     = toset([for grant in google_iap_tunnel_instance_iam_member.operator : grant.instance]) == toset(["kubeadm-control-plane", "kubeadm-worker-1", "kubeadm-worker-2"])
    error_message = "An operator cannot reach a machine."
  }
}

run "node_ports_answer_named_networks" {
  command = plan

  variables {
    node_port_clients = ["192.0.2.0/24"]
  }

  assert {
    condition     = tolist(google_compute_firewall.node_ports[0].allow)[0].ports == tolist(["30080-30082", "30090"]) && google_compute_firewall.node_ports[0].source_ranges == toset(["192.0.2.0/24"])
    error_message = "Other ports, or other networks."
  }
}

run "what_is_stored_has_a_customer_key" {
  command = plan

  assert {
    condition     = alltrue([for machine in google_compute_instance.this : machine.boot_disk[0].kms_key_self_link == "key"])
    error_message = "A disk has no customer key."
  }

  assert {
    condition     = google_storage_bucket.snapshots.location == "asia-south2"
    error_message = "Snapshots are beside the machine."
  }

  assert {
    condition     = google_storage_bucket.snapshots.encryption[0].default_kms_key_name == "key" && google_storage_bucket_iam_member.snapshots.role == "roles/storage.objectCreator"
    error_message = "Snapshots have no customer key, or the machine can read or delete them."
  }
}

run "a_worker_reads_the_token_and_cannot_write_it" {
  command = plan

  assert {
    condition     = google_secret_manager_secret_iam_member.join["worker"].role == "roles/secretmanager.secretAccessor" && google_secret_manager_secret_iam_member.join["control-plane"].role == "roles/secretmanager.secretVersionManager"
    error_message = "A worker could hand out a token of its own."
  }
}

run "rejects_project_id" {
  command = plan
  variables {
    project_id = "x"
  }
  expect_failures = [var.project_id]
}

run "rejects_project_number" {
  command = plan
  variables {
    project_number = 0
  }
  expect_failures = [var.project_number]
}

run "rejects_long_name" {
  command = plan
  variables {
    name = "a-cluster-of-three"
  }
  expect_failures = [var.name]
}

run "rejects_region_as_zone" {
  command = plan
  variables {
    zone = "asia-south1"
  }
  expect_failures = [var.zone]
}

run "rejects_wide_network" {
  command = plan
  variables {
    addresses = { network = "10.160.0.0/16", pods = "100.70.0.0/17", services = "100.70.128.0/20" }
  }
  expect_failures = [var.addresses]
}

run "rejects_pods_outside_shared_space" {
  command = plan
  variables {
    addresses = { network = "10.160.0.0/24", pods = "10.244.0.0/16", services = "100.70.128.0/20" }
  }
  expect_failures = [var.addresses]
}

run "rejects_old_kubernetes" {
  command = plan
  variables {
    kubernetes_version = "1.30"
  }
  expect_failures = [var.kubernetes_version]
}

run "rejects_fingerprint" {
  command = plan
  variables {
    key_fingerprint = "DE15 B144"
  }
  expect_failures = [var.key_fingerprint]
}

run "rejects_image_without_cloud_init" {
  command = plan
  variables {
    image = "debian-cloud/debian-12"
  }
  expect_failures = [var.image]
}

run "rejects_small_machines" {
  command = plan
  variables {
    machine_type = "e2-small"
  }
  expect_failures = [var.machine_type]
}

run "rejects_small_disk" {
  command = plan
  variables {
    disk_gb = 10
  }
  expect_failures = [var.disk_gb]
}

run "rejects_node_ports_for_the_internet" {
  command = plan
  variables {
    node_port_clients = ["0.0.0.0/0"]
  }
  expect_failures = [var.node_port_clients]
}

run "rejects_no_operators" {
  command = plan
  variables {
    operators = []
  }
  expect_failures = [var.operators]
}

run "rejects_snapshots_beside_the_machine" {
  command = plan
  variables {
    snapshots_region = "asia-south1"
  }
  expect_failures = [var.snapshots_region]
}

run "rejects_labels_without_owner" {
  command = plan
  variables {
    labels = { environment = "development" }
  }
  expect_failures = [var.labels]
}
