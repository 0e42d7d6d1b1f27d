# The managed nodes of the system: Bottlerocket, encrypted disks, instance metadata out of pods' reach.

module "disks" {
  source = "../key"

  name        = "${var.name}-disks"
  description = "Disks of nodes and persistent volumes of ${var.name}"
  # The role by which EC2 Auto Scaling starts nodes; an account has it after its first Auto Scaling group (bootstrap/aws).
  grantees = ["arn:${local.partition}:iam::${local.account}:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling"]
}

data "aws_default_tags" "current" {}

resource "aws_launch_template" "system" {
  count = local.auto ? 0 : 1

  name                   = "${var.name}-system"
  update_default_version = true

  # Bottlerocket has its system on the first disk, images and containers on the second.
  dynamic "block_device_mappings" {
    for_each = { "/dev/xvda" = 4, "/dev/xvdb" = var.system_nodes.disk_gib }
    content {
      device_name = block_device_mappings.key
      ebs {
        volume_type           = "gp3"
        volume_size           = block_device_mappings.value
        encrypted             = true
        kms_key_id            = module.disks.arn
        delete_on_termination = true
      }
    }
  }

  metadata_options {
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  monitoring {
    enabled = true
  }

  # EC2 creates machines and disks and does not know the provider's default tags.
  dynamic "tag_specifications" {
    for_each = toset(["instance", "volume", "network-interface"])
    content {
      resource_type = tag_specifications.value
      tags          = merge(data.aws_default_tags.current.tags, { Name = "${var.name}-system" })
    }
  }
}

resource "aws_eks_node_group" "system" {
  count = local.auto ? 0 : 1

  cluster_name    = aws_eks_cluster.this.name
  node_group_name = "system"
  node_role_arn   = aws_iam_role.node.arn
  subnet_ids      = var.subnets
  version         = var.kubernetes_version
  ami_type        = "BOTTLEROCKET_${var.system_nodes.architecture == "arm64" ? "ARM_64" : "x86_64"}"
  instance_types  = var.system_nodes.instance_types
  labels          = { "thalweg.dev/nodes" = "system" }

  launch_template {
    id      = aws_launch_template.system[0].id
    version = aws_launch_template.system[0].latest_version
  }

  scaling_config {
    min_size     = var.system_nodes.min
    desired_size = var.system_nodes.min
    max_size     = var.system_nodes.max
  }

  update_config {
    max_unavailable = 1
  }

  node_repair_config {
    enabled = true
  }

  lifecycle {
    # An apply does not undo scaling by hand or by an autoscaler.
    ignore_changes = [scaling_config[0].desired_size]
  }

  # Nodes need the network plugin to become ready, and the role's policies to join.
  depends_on = [aws_iam_role_policy_attachment.node, aws_eks_addon.before_nodes, module.identities]
}
