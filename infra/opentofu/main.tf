# The three machines by OpenTofu: the same module as Terraform's, because infra/terraform keeps to what both read.

module "kubeadm" {
  source = "../terraform/modules/kubeadm"

  project_id        = var.project_id
  project_number    = var.project_number
  zone              = var.zone
  snapshots_region  = var.snapshots_region
  addresses         = jsondecode(file("${path.module}/../terraform/addresses.json"))["development"]["kubeadm"]
  operators         = var.operators
  node_port_clients = var.node_port_clients
  labels            = { project = "thalweg", environment = "development", owner = var.owner, managed-by = "opentofu" }
}
