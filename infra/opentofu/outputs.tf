# What operators and the pipeline are given.

output "machines" {
  description = "Addresses of the machines inside the network."
  value       = module.kubeadm.machines
}

output "ssh" {
  description = "How to reach the control plane."
  value       = module.kubeadm.ssh
}

output "snapshots" {
  description = "Bucket of etcd's snapshots."
  value       = module.kubeadm.snapshots
}
