# Add-ons that every workload needs. Auto Mode has most of them built in.

locals {
  # These run on every node, so they exist before the first one.
  before_nodes = local.auto ? {} : {
    # The CNI enforces NetworkPolicies. Prefix delegation: without it a t3.medium holds 17 pods only.
    vpc-cni = jsonencode({
      enableNetworkPolicy = "true"
      env                 = { ENABLE_PREFIX_DELEGATION = "true" }
    })
    kube-proxy             = null
    eks-pod-identity-agent = null
  }
  # These are pods that wait for a node.
  on_nodes = local.auto ? {
    metrics-server = null
    } : {
    metrics-server     = null
    coredns            = jsonencode({ autoScaling = { enabled = true, minReplicas = 2, maxReplicas = 10 } })
    aws-ebs-csi-driver = null
  }
}

resource "aws_eks_addon" "before_nodes" {
  for_each = local.before_nodes

  cluster_name         = aws_eks_cluster.this.name
  addon_name           = each.key
  configuration_values = each.value
}

resource "aws_eks_addon" "on_nodes" {
  for_each = local.on_nodes

  cluster_name         = aws_eks_cluster.this.name
  addon_name           = each.key
  configuration_values = each.value

  depends_on = [aws_eks_node_group.system, module.identities]
}

module "identities" {
  source = "../iam"
  count  = local.auto ? 0 : 1

  cluster_name         = aws_eks_cluster.this.name
  permissions_boundary = var.permissions_boundary

  workloads = {
    vpc-cni = {
      namespace        = "kube-system"
      service_account  = "aws-node"
      managed_policies = ["arn:${local.partition}:iam::aws:policy/AmazonEKS_CNI_Policy"]
    }
    ebs-csi = {
      namespace        = "kube-system"
      service_account  = "ebs-csi-controller-sa"
      managed_policies = ["arn:${local.partition}:iam::aws:policy/service-role/AmazonEBSCSIDriverPolicy"]
      statements       = jsonencode(local.encrypted_disks)
    }
    karpenter = {
      namespace       = "kube-system"
      service_account = "karpenter"
      statements      = jsonencode(concat(local.karpenter, local.encrypted_disks))
    }
  }
}

locals {
  # Rights to create encrypted disks: use of the key, and the grant through which EC2 uses it.
  encrypted_disks = [
    {
      Effect   = "Allow"
      Action   = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"]
      Resource = module.disks.arn
    },
    {
      Effect    = "Allow"
      Action    = "kms:CreateGrant"
      Resource  = module.disks.arn
      Condition = { Bool = { "kms:GrantIsForAWSResource" = "true" } }
    },
  ]
}
