# AWS: a service control policy. The policy grants nothing and bounds every principal in the unit, root users included.
locals {
  scp = var.aws == null ? null : jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "NoLongLivedKeys"
        Effect   = "Deny"
        Action   = ["iam:CreateAccessKey", "iam:CreateLoginProfile", "iam:CreateUser"]
        Resource = "*"
      },
      {
        Sid       = "NoRootUser"
        Effect    = "Deny"
        Action    = "*"
        Resource  = "*"
        Condition = { StringLike = { "aws:PrincipalArn" = "arn:*:iam::*:root" } }
      },
      {
        Sid    = "EvidenceStays"
        Effect = "Deny"
        Action = [
          "access-analyzer:DeleteAnalyzer", "cloudtrail:DeleteTrail", "cloudtrail:StopLogging", "ec2:DisableEbsEncryptionByDefault",
          "guardduty:DeleteDetector", "guardduty:DisassociateFromAdministratorAccount", "organizations:LeaveOrganization",
        ]
        Resource = "*"
      },
      {
        Sid    = "KnownRegions"
        Effect = "Deny"
        # Global services, which answer in us-east-1 or in no region.
        NotAction = [
          "account:*", "budgets:*", "ce:*", "cloudfront:*", "iam:*", "organizations:*", "route53:*", "shield:*", "sts:*",
          "support:*", "tag:*", "wafv2:*",
        ]
        Resource  = "*"
        Condition = { StringNotEquals = { "aws:RequestedRegion" = sort(var.aws.regions) } }
      },
      {
        Sid       = "TlsOnly"
        Effect    = "Deny"
        Action    = ["s3:*", "sqs:*", "sns:Publish"]
        Resource  = "*"
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      },
    ]
  })
}

resource "aws_organizations_policy" "this" {
  count = var.aws == null ? 0 : 1

  name        = var.name
  description = "No long-lived keys, no root user, evidence stays, known regions, TLS"
  type        = "SERVICE_CONTROL_POLICY"
  content     = local.scp
}

resource "aws_organizations_policy_attachment" "this" {
  count = var.aws == null ? 0 : 1

  policy_id = aws_organizations_policy.this[0].id
  target_id = var.aws.target_id
}
