# What each machine is told at its first boot: files, and one unit that runs until the machine is a node. Nothing in it
# is secret. Sources are in files/ and manifests/; tests check the result against cloud-init's own schema.

locals {
  library = "/usr/local/lib/kubeadm"

  scripts = {
    control-plane = ["google.sh", "install.sh", "control-plane.sh", "join-token.sh", "etcd-snapshot.sh", "etcd-restore.sh"]
    worker        = ["google.sh", "install.sh", "worker.sh"]
  }

  settings = { for key, machine in local.machines : key => join("\n", [
    "PROJECT=${var.project_id}",
    "SECRET=${google_secret_manager_secret.join.secret_id}",
    "BUCKET=${google_storage_bucket.snapshots.name}",
    "KUBERNETES_MINOR=${var.kubernetes_version}",
    "KEY_FINGERPRINT=${var.key_fingerprint}",
    "CONTROL_PLANE=${local.control_plane}",
    "ADDRESS=${machine.address}",
    "",
  ]) }

  jobs = {
    etcd-snapshot = { what = "Takes etcd off the machine", when = "hourly" }
    join-token    = { what = "Publishes a join token", when = "*-*-* 00,12:00:00" }
  }

  files_of_all = { for role in ["control-plane", "worker"] : role => concat(
    [for script in local.scripts[role] : {
      path        = "${local.library}/${script}"
      content     = file("${path.module}/files/${script}")
      permissions = "0755"
    }],
    [
      { path = "/etc/modules-load.d/kubernetes.conf", content = "overlay\nbr_netfilter\n", permissions = "0644" },
      { path = "/etc/sysctl.d/90-kubernetes.conf", content = file("${path.module}/files/sysctl.conf"), permissions = "0644" },
      { path = "/etc/containerd/config.toml", content = file("${path.module}/files/containerd.toml"), permissions = "0644" },
      { path = "/etc/crictl.yaml", content = "runtime-endpoint: unix:///run/containerd/containerd.sock\n", permissions = "0644" },
      {
        path        = "/etc/systemd/system/kubeadm-machine.service"
        content     = templatefile("${path.module}/files/machine.service.tftpl", { role = role, library = local.library })
        permissions = "0644"
      },
    ],
  ) }

  files_of_control_plane = concat(
    [for pair in setproduct(keys(local.jobs), ["service", "timer"]) : {
      path        = "/etc/systemd/system/${pair[0]}.${pair[1]}"
      content     = templatefile("${path.module}/files/job.${pair[1]}.tftpl", merge(local.jobs[pair[0]], { job = pair[0], library = local.library }))
      permissions = "0644"
    }],
    [for manifest in ["flannel", "policy"] : {
      path        = "/etc/kubeadm/addons/${manifest}.yaml"
      content     = templatefile("${path.module}/manifests/${manifest}.yaml.tftpl", var.addresses)
      permissions = "0644"
    }],
    [
      { path = "/etc/kubernetes/audit/policy.yaml", content = file("${path.module}/files/audit-policy.yaml"), permissions = "0600" },
      {
        path = "/etc/kubeadm/init.yaml"
        content = templatefile("${path.module}/files/init.yaml.tftpl", merge(var.addresses, {
          name = var.name, minor = var.kubernetes_version, address = local.control_plane
        }))
        permissions = "0600"
      },
    ],
  )

  documents = { for key, machine in local.machines : key => {
    package_update  = true
    package_upgrade = true
    packages        = ["apt-transport-https", "ca-certificates", "conntrack", "containerd", "curl", "gpg", "ipset", "jq", "socat"]

    write_files = concat(
      local.files_of_all[machine.role],
      machine.role == "control-plane" ? local.files_of_control_plane : [],
      [{ path = "/etc/kubeadm/settings", content = local.settings[key], permissions = "0644" }],
    )

    runcmd = [
      ["systemctl", "daemon-reload"],
      ["systemctl", "enable", "--now", "--no-block", "kubeadm-machine.service"],
    ]
  } }

  user_data = { for key, document in local.documents : key => join("\n", ["#cloud-config", yamlencode(document)]) }
}
