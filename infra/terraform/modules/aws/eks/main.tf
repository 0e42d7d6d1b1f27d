# A cluster: private endpoint, all control plane logs, secrets encrypted under a key of its own, rights by access entries
# only, workload identity by EKS Pod Identity, deletion protected.
#
# `compute` decides how nodes are created:
#
# | | `karpenter` | `auto` |
# |---|---|---|
# | nodes | a managed group for the system; Karpenter's, from node pools that you apply | EKS's, replaced after 21 days at the latest |
# | you install | Karpenter, the AWS Load Balancer Controller | no controller: both are built in, and a second one conflicts |
# | network policies | the VPC CNI's, switched on here | on when a NodeClass says `networkPolicy` |
# | balancers | `spec.loadBalancerClass` as the charts have it | `eks.amazonaws.com/nlb`: change the chart's value |
# | volumes | EBS CSI driver, `ebs.csi.aws.com` | `ebs.csi.eks.amazonaws.com`: existing volumes do not move |
# | costs | the machines | the machines and about 12 % |
#
# A change on a running cluster removes the managed group at once: cordon and drain its nodes first.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  auto      = var.compute == "auto"
  partition = data.aws_partition.current.partition
  account   = data.aws_caller_identity.current.account_id
  region    = data.aws_region.current.region
  arn       = "arn:${local.partition}:eks:${local.region}:${local.account}:cluster/${var.name}"
}

module "key" {
  source = "../key"

  name        = "${var.name}-eks"
  description = "Secrets and control plane logs of ${var.name}"
  services    = ["logs.${local.region}.amazonaws.com"]
}

# Without this resource EKS creates the group itself, without a customer key and without an end of retention.
resource "aws_cloudwatch_log_group" "control_plane" {
  name              = "/aws/eks/${var.name}/cluster"
  retention_in_days = var.log_days
  kms_key_id        = module.key.arn
}

resource "aws_security_group" "api" {
  name        = "${var.name}-api"
  description = "Private endpoint of ${var.name}"
  vpc_id      = var.network
  tags        = { Name = "${var.name}-api" }
}

resource "aws_vpc_security_group_ingress_rule" "api" {
  for_each = var.api_clients

  security_group_id = aws_security_group.api.id
  description       = "Clients of the API"
  cidr_ipv4         = each.value
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  tags              = { Name = "${var.name}-api" }
}

resource "aws_eks_cluster" "this" {
  name                          = var.name
  version                       = var.kubernetes_version
  role_arn                      = aws_iam_role.cluster.arn
  enabled_cluster_log_types     = ["api", "audit", "authenticator", "controllerManager", "scheduler"]
  deletion_protection           = var.deletion_protection
  bootstrap_self_managed_addons = false

  access_config {
    authentication_mode                         = "API"
    bootstrap_cluster_creator_admin_permissions = false
  }

  # EKS requires the three Auto Mode switches to agree.
  compute_config {
    enabled       = local.auto
    node_pools    = local.auto ? ["general-purpose", "system"] : null
    node_role_arn = local.auto ? aws_iam_role.node.arn : null
  }
  storage_config {
    block_storage {
      enabled = local.auto
    }
  }
  kubernetes_network_config {
    service_ipv4_cidr = var.services_cidr
    elastic_load_balancing {
      enabled = local.auto
    }
  }

  encryption_config {
    resources = ["secrets"]
    provider {
      key_arn = module.key.arn
    }
  }

  upgrade_policy {
    # A version whose standard support ends is upgraded; extended support costs six times as much.
    support_type = "STANDARD"
  }

  vpc_config {
    subnet_ids              = var.subnets
    security_group_ids      = [aws_security_group.api.id]
    endpoint_private_access = true
    endpoint_public_access  = length(var.public_access_cidrs) > 0
    public_access_cidrs     = length(var.public_access_cidrs) > 0 ? var.public_access_cidrs : null
  }

  zonal_shift_config {
    enabled = true
  }

  depends_on = [aws_cloudwatch_log_group.control_plane, aws_iam_role_policy_attachment.cluster]
}

# Karpenter and Auto Mode find the nodes' security group by this tag, as they find the subnets.
resource "aws_ec2_tag" "discovery" {
  resource_id = aws_eks_cluster.this.vpc_config[0].cluster_security_group_id
  key         = "karpenter.sh/discovery"
  value       = var.name
}
