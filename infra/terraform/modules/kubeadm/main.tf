# Three machines that make themselves a cluster: one control plane and two workers, with kubeadm, containerd, Flannel,
# and kube-router to enforce policies, which Flannel does not do. Services are reached by node ports (infra/kustomize).
#
# The machines have no external address. Operators come by SSH through Identity-Aware Proxy, and so does the pipeline:
# `gcloud compute ssh kubeadm-control-plane --tunnel-through-iap`. The API answers inside the network only.
#
# Workers join with a token of 24 hours that the control plane publishes in Secret Manager; no token is in metadata,
# plan or state. etcd leaves the machine every hour, with the authorities and the key without which a snapshot is
# worthless. What happens on a machine: `journalctl -u kubeadm-machine`.
#
# One control plane is one point of failure: pods go on without it, and nothing changes until it is back. To put etcd
# back to a snapshot, an operator who may read the bucket copies an archive to the control plane and runs, as root:
#
# ```sh
# /usr/local/lib/kubeadm/etcd-restore.sh 235959.tar.gz
# ```
#
# On a new machine the cluster's authorities come first, so that workers and accounts stay valid:
#
# ```sh
# systemctl stop kubeadm-machine
# kubeadm reset --force
# rm -rf /var/lib/kubeadm-machine
# tar --extract --gzip --file 235959.tar.gz --directory /etc/kubernetes pki encryption
# systemctl start kubeadm-machine
# /usr/local/lib/kubeadm/etcd-restore.sh 235959.tar.gz
# ```
#
# Kubernetes is upgraded by hand, one machine after the other (`kubeadm upgrade`): the packages are held.

locals {
  region = join("-", slice(split("-", var.zone), 0, 2))

  machines = {
    control-plane = { address = cidrhost(var.addresses.network, 3), role = "control-plane" }
    worker-1      = { address = cidrhost(var.addresses.network, 4), role = "worker" }
    worker-2      = { address = cidrhost(var.addresses.network, 5), role = "worker" }
  }

  control_plane = local.machines["control-plane"].address
}

resource "google_compute_instance" "this" {
  for_each = local.machines

  project                   = var.project_id
  name                      = "${var.name}-${each.key}"
  description               = "Kubernetes ${each.value.role}."
  zone                      = var.zone
  machine_type              = var.machine_type
  tags                      = [var.name, "${var.name}-${each.value.role}"]
  labels                    = merge(var.labels, { role = each.value.role })
  deletion_protection       = var.deletion_protection
  allow_stopping_for_update = true

  boot_disk {
    auto_delete       = true
    kms_key_self_link = module.keys.keys["machines"]

    initialize_params {
      image  = var.image
      size   = var.disk_gb
      type   = "pd-balanced"
      labels = var.labels
    }
  }

  network_interface {
    subnetwork = google_compute_subnetwork.this.id
    network_ip = each.value.address
  }

  service_account {
    email  = google_service_account.this[each.value.role].email
    scopes = ["https://www.googleapis.com/auth/cloud-platform"]
  }

  metadata = {
    user-data              = local.user_data[each.key]
    enable-oslogin         = "TRUE"
    block-project-ssh-keys = "TRUE"
    serial-port-enable     = "FALSE"
  }

  shielded_instance_config {
    enable_secure_boot          = true
    enable_vtpm                 = true
    enable_integrity_monitoring = true
  }

  scheduling {
    automatic_restart   = true
    on_host_maintenance = "MIGRATE"
  }

  lifecycle {
    # cloud-init acts at the first boot only, and a newer image would replace the control plane with its etcd.
    ignore_changes = [metadata["user-data"], boot_disk[0].initialize_params[0].image]
  }

  # At its first boot the control plane publishes its token, and a worker reads it.
  depends_on = [google_secret_manager_secret_iam_member.join, google_storage_bucket_iam_member.snapshots, google_compute_router_nat.this]
}
