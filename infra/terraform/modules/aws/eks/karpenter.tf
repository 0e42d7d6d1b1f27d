# What Karpenter may do: make and end the machines of this cluster, and no other's; and how it hears of interruptions.

locals {
  ec2      = "arn:${local.partition}:ec2:${local.region}"
  owned    = { "aws:RequestTag/kubernetes.io/cluster/${var.name}" = "owned" }
  existing = { "aws:ResourceTag/kubernetes.io/cluster/${var.name}" = "owned" }
  # What machines are made of, and what is made. The latter carries the cluster's tag from birth. Images and snapshots
  # belong to others.
  used = [for what in [":image", ":snapshot", "*:security-group", "*:subnet", "*:capacity-reservation"] : "${local.ec2}:${what}/*"]
  made = [for what in ["fleet", "instance", "volume", "network-interface", "launch-template", "spot-instances-request"] : "${local.ec2}:*:${what}/*"]

  karpenter = [
    {
      Sid      = "UseWhatIsThere"
      Effect   = "Allow"
      Action   = ["ec2:RunInstances", "ec2:CreateFleet"]
      Resource = local.used
    },
    {
      Sid       = "UseOwnTemplates"
      Effect    = "Allow"
      Action    = ["ec2:RunInstances", "ec2:CreateFleet"]
      Resource  = "${local.ec2}:*:launch-template/*"
      Condition = { StringEquals = local.existing }
    },
    {
      Sid       = "MakeTagged"
      Effect    = "Allow"
      Action    = ["ec2:RunInstances", "ec2:CreateFleet", "ec2:CreateLaunchTemplate"]
      Resource  = local.made
      Condition = { StringEquals = local.owned, StringLike = { "aws:RequestTag/karpenter.sh/nodepool" = "*" } }
    },
    {
      Sid      = "TagWhileMaking"
      Effect   = "Allow"
      Action   = "ec2:CreateTags"
      Resource = local.made
      Condition = {
        StringEquals = merge(local.owned, { "ec2:CreateAction" = ["RunInstances", "CreateFleet", "CreateLaunchTemplate"] })
      }
    },
    {
      Sid      = "NameNodes"
      Effect   = "Allow"
      Action   = "ec2:CreateTags"
      Resource = "${local.ec2}:*:instance/*"
      Condition = {
        StringEquals                = local.existing
        "ForAllValues:StringEquals" = { "aws:TagKeys" = ["karpenter.sh/nodeclaim", "eks:eks-cluster-name", "Name"] }
      }
    },
    {
      Sid       = "EndOwn"
      Effect    = "Allow"
      Action    = ["ec2:TerminateInstances", "ec2:DeleteLaunchTemplate"]
      Resource  = ["${local.ec2}:*:instance/*", "${local.ec2}:*:launch-template/*"]
      Condition = { StringEquals = local.existing }
    },
    {
      # AWS defines no resource for these actions.
      Sid    = "Look"
      Effect = "Allow"
      Action = [
        "ec2:DescribeAvailabilityZones", "ec2:DescribeCapacityReservations", "ec2:DescribeImages",
        "ec2:DescribeInstances", "ec2:DescribeInstanceTypeOfferings", "ec2:DescribeInstanceTypes",
        "ec2:DescribeLaunchTemplates", "ec2:DescribeSecurityGroups", "ec2:DescribeSpotPriceHistory",
        "ec2:DescribeSubnets", "pricing:GetProducts", "iam:ListInstanceProfiles",
      ]
      Resource = "*"
    },
    {
      Sid      = "ReadImageParameters"
      Effect   = "Allow"
      Action   = "ssm:GetParameter"
      Resource = "arn:${local.partition}:ssm:${local.region}::parameter/aws/service/*"
    },
    {
      Sid       = "GiveNodesTheirRole"
      Effect    = "Allow"
      Action    = "iam:PassRole"
      Resource  = "arn:${local.partition}:iam::${local.account}:role/${var.name}-node"
      Condition = { StringEquals = { "iam:PassedToService" = "ec2.amazonaws.com" } }
    },
    {
      Sid      = "ReadTheProfile"
      Effect   = "Allow"
      Action   = "iam:GetInstanceProfile"
      Resource = "arn:${local.partition}:iam::${local.account}:instance-profile/${var.name}-node"
    },
    {
      Sid      = "FindTheCluster"
      Effect   = "Allow"
      Action   = "eks:DescribeCluster"
      Resource = local.arn
    },
    {
      Sid      = "HearOfInterruptions"
      Effect   = "Allow"
      Action   = ["sqs:DeleteMessage", "sqs:GetQueueUrl", "sqs:ReceiveMessage"]
      Resource = "arn:${local.partition}:sqs:${local.region}:${local.account}:${var.name}-interruptions"
    },
  ]

  interruptions = local.auto ? {} : {
    spot      = { source = "aws.ec2", detail = "EC2 Spot Instance Interruption Warning" }
    rebalance = { source = "aws.ec2", detail = "EC2 Instance Rebalance Recommendation" }
    state     = { source = "aws.ec2", detail = "EC2 Instance State-change Notification" }
    health    = { source = "aws.health", detail = "AWS Health Event" }
  }
}

module "interruptions_key" {
  source = "../key"
  count  = local.auto ? 0 : 1

  name        = "${var.name}-interruptions"
  description = "Interruption notices of ${var.name}"
  services    = ["events.amazonaws.com"]
}

resource "aws_sqs_queue" "interruptions" {
  count = local.auto ? 0 : 1

  name                      = "${var.name}-interruptions"
  message_retention_seconds = 300
  kms_master_key_id         = module.interruptions_key[0].arn
}

resource "aws_sqs_queue_policy" "interruptions" {
  count = local.auto ? 0 : 1

  queue_url = aws_sqs_queue.interruptions[0].url
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect    = "Allow"
        Principal = { Service = "events.amazonaws.com" }
        Action    = "sqs:SendMessage"
        Resource  = aws_sqs_queue.interruptions[0].arn
        Condition = { StringEquals = { "aws:SourceAccount" = local.account } }
      },
      {
        Effect    = "Deny"
        Principal = "*"
        Action    = "sqs:*"
        Resource  = aws_sqs_queue.interruptions[0].arn
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      },
    ]
  })
}

resource "aws_cloudwatch_event_rule" "interruptions" {
  for_each = local.interruptions

  name          = "${var.name}-${each.key}"
  description   = "Tells Karpenter: ${each.value.detail}"
  event_pattern = jsonencode({ source = [each.value.source], "detail-type" = [each.value.detail] })
}

resource "aws_cloudwatch_event_target" "interruptions" {
  for_each = local.interruptions

  rule = aws_cloudwatch_event_rule.interruptions[each.key].name
  arn  = aws_sqs_queue.interruptions[0].arn
}
