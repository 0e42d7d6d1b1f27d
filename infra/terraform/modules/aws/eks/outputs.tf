# What other modules and the charts need.

output "name" {
  description = "Name of the cluster."
  value       = aws_eks_cluster.this.name
}

output "endpoint" {
  description = "Private address of the API."
  value       = aws_eks_cluster.this.endpoint
}

output "certificate_authority" {
  description = "Certificate of the API's authority, base64."
  value       = aws_eks_cluster.this.certificate_authority[0].data
}

output "security_group" {
  description = "Security group of nodes and pods."
  value       = aws_eks_cluster.this.vpc_config[0].cluster_security_group_id
}

output "node_role" {
  description = "Name of the nodes' role."
  value       = aws_iam_role.node.name
}

output "disk_key" {
  description = "Key of the disks; name it in StorageClasses and node classes (`kmsKeyId`, `kmsKeyID`)."
  value       = module.disks.arn
}

output "instance_profile" {
  description = "Profile for Karpenter's node classes (`instanceProfile`); null with `auto`."
  value       = one(aws_iam_instance_profile.node[*].name)
}

output "interruption_queue" {
  description = "Queue for Karpenter's `settings.interruptionQueue`; null with `auto`."
  value       = one(aws_sqs_queue.interruptions[*].name)
}

output "oidc" {
  description = "The cluster's issuer, for roles that are taken on by token."
  value       = { arn = aws_iam_openid_connect_provider.cluster.arn, issuer = aws_eks_cluster.this.identity[0].oidc[0].issuer }
}
