# Roles that pods take on through EKS Pod Identity: one per workload, bound to one service account of one cluster. No pod
# holds a key and none uses the node's role. With `oidc` the same service account also takes the role on by its token.

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

locals {
  pod_identity = {
    Effect    = "Allow"
    Principal = { Service = "pods.eks.amazonaws.com" }
    Action    = ["sts:AssumeRole", "sts:TagSession"]
    # A second cluster of the account cannot hand the same role to its own pods.
    Condition = {
      StringEquals = { "aws:SourceAccount" = data.aws_caller_identity.current.account_id }
      ArnEquals    = { "aws:SourceArn" = local.cluster }
    }
  }
  by_token = {
    for name, workload in var.workloads : name => var.oidc == null ? [] : [{
      Effect    = "Allow"
      Principal = { Federated = var.oidc.arn }
      Action    = "sts:AssumeRoleWithWebIdentity"
      Condition = {
        StringEquals = {
          "${trimprefix(var.oidc.issuer, "https://")}:aud" = "sts.amazonaws.com"
          "${trimprefix(var.oidc.issuer, "https://")}:sub" = "system:serviceaccount:${workload.namespace}:${workload.service_account}"
        }
      }
    }]
  }
}

resource "aws_iam_role" "this" {
  for_each = var.workloads

  name                 = "${var.cluster_name}-${each.key}"
  permissions_boundary = var.permissions_boundary
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = concat([local.pod_identity], [for statement in local.by_token[each.key] : statement])
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
