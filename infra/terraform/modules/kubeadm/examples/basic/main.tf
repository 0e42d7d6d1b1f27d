# Three machines in a zone of India, reached by an on-call group and, at their node ports, from an office.

provider "google" {
  project = "example-project"
  region  = "asia-south1"
}

module "kubeadm" {
  source = "../.."

  project_id        = "example-project"
  project_number    = 123456789012
  zone              = "asia-south1-a"
  snapshots_region  = "asia-south2"
  operators         = ["group:oncall@example.com"]
  node_port_clients = ["192.0.2.0/24"]
  labels            = { environment = "development", owner = "platform" }
}

output "ssh" {
  description = "How to reach the control plane."
  value       = module.kubeadm.ssh
}
