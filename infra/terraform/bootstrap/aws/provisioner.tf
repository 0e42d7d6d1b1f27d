# terraform-provisioner: the role of every apply. It creates roles only with `thalweg-boundary`, so no role that it creates
# exceeds that boundary. It has a boundary of its own, so that a policy attached to it by mistake grants nothing.

locals {
  # Services of this project. IAM has statements of its own, below.
  services = [
    "access-analyzer", "acm", "autoscaling", "backup", "backup-storage", "budgets", "ce", "cloudtrail", "cloudwatch",
    "ec2", "ecr", "eks", "elasticache", "elasticloadbalancing", "es", "events", "guardduty", "kms", "lambda", "logs",
    "rds", "route53", "s3", "secretsmanager", "securityhub", "sns", "sqs", "tag", "wafv2",
  ]
  # Global services answer in us-east-1.
  allowed_regions = distinct(concat(var.regions, [var.copy_region, "us-east-1"]))
  own_roles       = "${local.iam}:role/thalweg-*"

  provision = [
    {
      Sid       = "Services"
      Effect    = "Allow"
      Action    = [for service in local.services : "${service}:*"]
      Resource  = "*"
      Condition = { StringEquals = { "aws:RequestedRegion" = local.allowed_regions } }
    },
    {
      Sid    = "LookAtIam"
      Effect = "Allow"
      Action = ["iam:Get*", "iam:List*"]
      Resource = [
        local.own_roles, "${local.iam}:policy/thalweg-*", "${local.iam}:instance-profile/thalweg-*",
        "${local.iam}:oidc-provider/*", "${local.iam}:role/aws-service-role/*",
      ]
    },
    {
      Sid       = "MakeBoundedRoles"
      Effect    = "Allow"
      Action    = ["iam:CreateRole", "iam:PutRolePolicy", "iam:AttachRolePolicy", "iam:DetachRolePolicy", "iam:DeleteRolePolicy", "iam:PutRolePermissionsBoundary"]
      Resource  = local.own_roles
      Condition = { StringEquals = { "iam:PermissionsBoundary" = local.boundary } }
    },
    {
      Sid      = "KeepRoles"
      Effect   = "Allow"
      Action   = ["iam:DeleteRole", "iam:TagRole", "iam:UntagRole", "iam:UpdateRole", "iam:UpdateAssumeRolePolicy"]
      Resource = local.own_roles
    },
    {
      Sid    = "KeepProfiles"
      Effect = "Allow"
      Action = [
        "iam:AddRoleToInstanceProfile", "iam:CreateInstanceProfile", "iam:DeleteInstanceProfile",
        "iam:RemoveRoleFromInstanceProfile", "iam:TagInstanceProfile", "iam:UntagInstanceProfile",
      ]
      Resource = "${local.iam}:instance-profile/thalweg-*"
    },
    {
      # Clusters' issuers, by which their service accounts take roles on. GitHub's is refused below.
      Sid    = "KeepIssuersOfClusters"
      Effect = "Allow"
      Action = [
        "iam:CreateOpenIDConnectProvider", "iam:DeleteOpenIDConnectProvider", "iam:TagOpenIDConnectProvider",
        "iam:UntagOpenIDConnectProvider",
      ]
      Resource = "${local.iam}:oidc-provider/oidc.eks.*"
    },
    {
      Sid      = "HandRolesToServices"
      Effect   = "Allow"
      Action   = "iam:PassRole"
      Resource = local.own_roles
      Condition = {
        StringEquals = {
          "iam:PassedToService" = [
            "backup.amazonaws.com", "cloudtrail.amazonaws.com", "ec2.amazonaws.com", "ecr.amazonaws.com",
            "eks.amazonaws.com",
            "lambda.amazonaws.com", "monitoring.rds.amazonaws.com", "pods.eks.amazonaws.com",
            "vpc-flow-logs.amazonaws.com",
          ]
        }
      }
    },
    {
      Sid       = "LinkedRoles"
      Effect    = "Allow"
      Action    = "iam:CreateServiceLinkedRole"
      Resource  = "${local.iam}:role/aws-service-role/*"
      Condition = { StringLike = { "iam:AWSServiceName" = [for service in local.services : "*${service}*.amazonaws.com"] } }
    },
  ]

  never = [
    {
      Sid    = "OwnBoundary"
      Effect = "Deny"
      Action = ["iam:CreatePolicyVersion", "iam:DeletePolicy", "iam:DeletePolicyVersion", "iam:SetDefaultPolicyVersion"]
      Resource = [
        local.boundary, "${local.iam}:policy/terraform-provisioner*",
      ]
    },
    {
      Sid      = "NoRoleWithoutBoundary"
      Effect   = "Deny"
      Action   = "iam:DeleteRolePermissionsBoundary"
      Resource = "*"
    },
    {
      Sid       = "OwnIdentities"
      Effect    = "Deny"
      NotAction = ["iam:Get*", "iam:List*"]
      Resource  = ["${local.iam}:role/terraform-provisioner", "${local.iam}:role/thalweg-plan", "${local.iam}:role/thalweg-publish", "${local.iam}:role/thalweg-*-state-copy", "${local.iam}:oidc-provider/token.actions.githubusercontent.com", "${local.iam}:user/*"]
    },
    {
      Sid      = "StateAndTrailStay"
      Effect   = "Deny"
      Action   = ["s3:DeleteBucket", "s3:DeleteBucketPolicy", "s3:DeleteObjectVersion", "s3:PutBucketVersioning", "s3:PutLifecycleConfiguration"]
      Resource = ["arn:${local.partition}:s3:::thalweg-${var.environment}-state-*", "arn:${local.partition}:s3:::thalweg-${var.environment}-state-*/*"]
    },
    {
      Sid      = "TrailRuns"
      Effect   = "Deny"
      Action   = ["cloudtrail:StopLogging", "cloudtrail:DeleteTrail"]
      Resource = "*"
    },
    {
      Sid      = "StateKeyStays"
      Effect   = "Deny"
      Action   = ["kms:ScheduleKeyDeletion", "kms:DisableKey", "kms:PutKeyPolicy"]
      Resource = [for key in aws_kms_key.state : key.arn]
    },
  ]

  write_state = [
    { Sid = "StateWrite", Effect = "Allow", Action = "s3:PutObject", Resource = "${local.state}/*" },
  ]
}

resource "aws_iam_policy" "provisioner" {
  name        = "terraform-provisioner"
  description = "What an apply may do"
  policy      = jsonencode({ Version = "2012-10-17", Statement = concat(local.provision, local.never) })
}

resource "aws_iam_policy" "provisioner_boundary" {
  name        = "terraform-provisioner-boundary"
  description = "The most that terraform-provisioner can ever do"
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [{ Sid = "Boundary", Effect = "Allow", Action = concat([for service in local.services : "${service}:*"], ["iam:*"]), Resource = "*" }],
      local.never,
    )
  })
}

resource "aws_iam_role" "provisioner" {
  name                 = "terraform-provisioner"
  description          = "Applies ${var.environment}"
  assume_role_policy   = local.trust.apply
  permissions_boundary = aws_iam_policy.provisioner_boundary.arn
  max_session_duration = 7200
}

resource "aws_iam_role_policy_attachment" "provisioner" {
  role       = aws_iam_role.provisioner.name
  policy_arn = aws_iam_policy.provisioner.arn
}

resource "aws_iam_role_policy" "provisioner_state" {
  name   = "state"
  role   = aws_iam_role.provisioner.id
  policy = jsonencode({ Version = "2012-10-17", Statement = concat(local.read_state, local.write_state) })
}
