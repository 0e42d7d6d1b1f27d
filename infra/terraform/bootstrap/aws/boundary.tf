# thalweg-boundary: the permissions boundary of every role that an apply creates. A role's own policies cannot exceed it.

locals {
  boundary = "${local.iam}:policy/thalweg-boundary"
  # The services that the provisioner manages, and those that nodes and pods need. sts:AssumeRole is missing on purpose.
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
        # Nodes, load balancers and Auto Mode need these. None of them creates a role, a policy or a user.
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
