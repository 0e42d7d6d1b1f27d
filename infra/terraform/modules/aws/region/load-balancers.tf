# What the AWS Load Balancer Controller may do: make and change balancers that carry this cluster's tag. Security groups
# are Terraform's (`modules/edge/aws`, `modules/aws/origin`), so it may change none.

locals {
  elb       = "arn:${local.partition}:elasticloadbalancing:${local.region}:${local.account}"
  balancer  = ["${local.elb}:loadbalancer/net/*/*", "${local.elb}:loadbalancer/app/*/*"]
  listeners = ["${local.elb}:listener/net/*/*/*", "${local.elb}:listener/app/*/*/*", "${local.elb}:listener-rule/net/*/*/*/*", "${local.elb}:listener-rule/app/*/*/*/*"]
  targets   = ["${local.elb}:targetgroup/*/*"]
  born_ours = { StringEquals = { "aws:RequestTag/elbv2.k8s.aws/cluster" = var.name } }
  ours      = { StringEquals = { "aws:ResourceTag/elbv2.k8s.aws/cluster" = var.name } }

  load_balancers = [
    {
      # AWS defines no resource for these actions.
      Sid    = "Look"
      Effect = "Allow"
      Action = [
        "acm:DescribeCertificate", "acm:ListCertificates", "ec2:DescribeAccountAttributes", "ec2:DescribeAddresses",
        "ec2:DescribeAvailabilityZones", "ec2:DescribeCoipPools", "ec2:DescribeInstances",
        "ec2:DescribeInternetGateways", "ec2:DescribeIpamPools", "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeRouteTables", "ec2:DescribeSecurityGroups", "ec2:DescribeSubnets", "ec2:DescribeTags",
        "ec2:DescribeVpcPeeringConnections", "ec2:DescribeVpcs", "ec2:GetCoipPoolUsage",
        "ec2:GetSecurityGroupsForVpc", "elasticloadbalancing:Describe*",
      ]
      Resource = "*"
    },
    {
      Sid       = "MakeOwn"
      Effect    = "Allow"
      Action    = ["elasticloadbalancing:CreateLoadBalancer", "elasticloadbalancing:CreateTargetGroup"]
      Resource  = concat(local.balancer, local.targets)
      Condition = local.born_ours
    },
    {
      Sid       = "TagWhileMaking"
      Effect    = "Allow"
      Action    = "elasticloadbalancing:AddTags"
      Resource  = concat(local.balancer, local.targets)
      Condition = { StringEquals = merge(local.born_ours.StringEquals, { "elasticloadbalancing:CreateAction" = ["CreateLoadBalancer", "CreateTargetGroup"] }) }
    },
    {
      Sid    = "ChangeOwn"
      Effect = "Allow"
      Action = [
        "elasticloadbalancing:AddTags", "elasticloadbalancing:CreateListener", "elasticloadbalancing:DeleteLoadBalancer",
        "elasticloadbalancing:DeleteTargetGroup", "elasticloadbalancing:ModifyCapacityReservation",
        "elasticloadbalancing:ModifyIpPools", "elasticloadbalancing:ModifyLoadBalancerAttributes",
        "elasticloadbalancing:ModifyTargetGroup", "elasticloadbalancing:ModifyTargetGroupAttributes",
        "elasticloadbalancing:RemoveTags", "elasticloadbalancing:SetIpAddressType",
        "elasticloadbalancing:SetSecurityGroups", "elasticloadbalancing:SetSubnets", "elasticloadbalancing:SetWebAcl",
      ]
      Resource  = concat(local.balancer, local.targets)
      Condition = local.ours
    },
    {
      Sid    = "ChangeOwnListeners"
      Effect = "Allow"
      Action = [
        "elasticloadbalancing:AddListenerCertificates", "elasticloadbalancing:AddTags",
        "elasticloadbalancing:CreateRule", "elasticloadbalancing:DeleteListener", "elasticloadbalancing:DeleteRule",
        "elasticloadbalancing:ModifyListener", "elasticloadbalancing:ModifyListenerAttributes",
        "elasticloadbalancing:ModifyRule", "elasticloadbalancing:RemoveListenerCertificates",
        "elasticloadbalancing:RemoveTags", "elasticloadbalancing:SetRulePriorities",
      ]
      Resource = local.listeners
    },
    {
      Sid      = "PutPodsBehind"
      Effect   = "Allow"
      Action   = ["elasticloadbalancing:DeregisterTargets", "elasticloadbalancing:RegisterTargets"]
      Resource = local.targets
    },
    {
      Sid      = "SetTheWebAcl"
      Effect   = "Allow"
      Action   = ["wafv2:AssociateWebACL", "wafv2:DisassociateWebACL", "wafv2:GetWebACL", "wafv2:GetWebACLForResource"]
      Resource = concat(["arn:${local.partition}:wafv2:${local.region}:${local.account}:regional/webacl/${var.name}/*"], ["${local.elb}:loadbalancer/app/*/*"])
    },
    {
      Sid       = "LinkedRole"
      Effect    = "Allow"
      Action    = "iam:CreateServiceLinkedRole"
      Resource  = "arn:${local.partition}:iam::${local.account}:role/aws-service-role/elasticloadbalancing.amazonaws.com/*"
      Condition = { StringEquals = { "iam:AWSServiceName" = "elasticloadbalancing.amazonaws.com" } }
    },
  ]
}
