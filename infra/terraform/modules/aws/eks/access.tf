# Rights in the cluster, as access entries. The cluster uses no aws-auth map, and its creator gets no rights.

locals {
  entries = merge(
    { for name, role in var.admins : "admin-${name}" => { role = role, policy = "AmazonEKSClusterAdminPolicy" } },
    { for name, role in var.viewers : "viewer-${name}" => { role = role, policy = "AmazonEKSViewPolicy" } },
  )
}

resource "aws_eks_access_entry" "this" {
  for_each = local.entries

  cluster_name  = aws_eks_cluster.this.name
  principal_arn = each.value.role
}

resource "aws_eks_access_policy_association" "this" {
  for_each = local.entries

  cluster_name  = aws_eks_cluster.this.name
  principal_arn = aws_eks_access_entry.this[each.key].principal_arn
  policy_arn    = "arn:${local.partition}:eks::aws:cluster-access-policy/${each.value.policy}"

  access_scope {
    type = "cluster"
  }
}
