# Roles that pods take on through EKS Pod Identity: one per workload, bound to one service account of one cluster. No pod
# holds a key, none uses the node's role, and a service account needs no annotation.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  cluster = "arn:${data.aws_partition.current.partition}:eks:${data.aws_region.current.region}:${data.aws_caller_identity.current.account_id}:cluster/${var.cluster_name}"
  attachments = merge([
    for name, workload in var.workloads : {
      for policy in workload.managed_policies : "${name}:${policy}" => { workload = name, policy = policy }
    }
  ]...)
}

resource "aws_iam_role" "this" {
  for_each = var.workloads

  name                 = "${var.cluster_name}-${each.key}"
  permissions_boundary = var.permissions_boundary
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "pods.eks.amazonaws.com" }
      Action    = ["sts:AssumeRole", "sts:TagSession"]
      # A second cluster of the account cannot hand the same role to its own pods.
      Condition = {
        StringEquals = { "aws:SourceAccount" = data.aws_caller_identity.current.account_id }
        ArnEquals    = { "aws:SourceArn" = local.cluster }
      }
    }]
  })
}

resource "aws_iam_role_policy" "this" {
  for_each = { for name, workload in var.workloads : name => workload.statements if workload.statements != null }

  name   = each.key
  role   = aws_iam_role.this[each.key].id
  policy = jsonencode({ Version = "2012-10-17", Statement = jsondecode(each.value) })
}

resource "aws_iam_role_policy_attachment" "this" {
  for_each = local.attachments

  role       = aws_iam_role.this[each.value.workload].name
  policy_arn = each.value.policy
}

resource "aws_eks_pod_identity_association" "this" {
  for_each = var.workloads

  cluster_name    = var.cluster_name
  namespace       = each.value.namespace
  service_account = each.value.service_account
  role_arn        = aws_iam_role.this[each.key].arn
}
