# thalweg-boundary: the most that a role made by an apply can ever do, whatever policies it is given.

locals {
  boundary = "${local.iam}:policy/thalweg-boundary"
  # What the provisioner makes, and what nodes and pods need besides. Roles of other accounts are nobody's to take on.
  workload_services = concat(local.services, ["ec2messages", "eks-auth", "pricing", "ssm", "ssmmessages", "xray"])
}

resource "aws_iam_policy" "boundary" {
  name        = "thalweg-boundary"
  description = "The most that a role of this project can ever do"
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "Services"
        Effect   = "Allow"
        Action   = [for service in local.workload_services : "${service}:*"]
        Resource = "*"
      },
      {
        # Nodes, balancers and Auto Mode cannot do without; no role, policy or user is made by these.
        Sid    = "LittleOfIam"
        Effect = "Allow"
        Action = [
          "iam:AddRoleToInstanceProfile", "iam:CreateInstanceProfile", "iam:CreateServiceLinkedRole",
          "iam:DeleteInstanceProfile", "iam:Get*", "iam:List*", "iam:RemoveRoleFromInstanceProfile",
          "iam:TagInstanceProfile",
        ]
        Resource = "*"
      },
      {
        Sid      = "OwnRolesToServices"
        Effect   = "Allow"
        Action   = "iam:PassRole"
        Resource = local.own_roles
      },
      {
        Sid    = "EvidenceAndCopiesStay"
        Effect = "Deny"
        Action = [
          "backup:DeleteBackupVault", "backup:DeleteBackupVaultLockConfiguration", "backup:DeleteRecoveryPoint",
          "cloudtrail:DeleteTrail", "cloudtrail:StopLogging", "cloudtrail:UpdateTrail", "guardduty:DeleteDetector",
          "kms:ScheduleKeyDeletion",
        ]
        Resource = "*"
      },
    ]
  })
}
