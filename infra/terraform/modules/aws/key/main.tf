# One customer key: rotated every year, deleted only after 30 days, used by IAM principals of this account and by the
# services that are named. Each module that stores something makes its own key, so that a key's loss or a wrong grant
# harms one store.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}

locals {
  account = data.aws_caller_identity.current.account_id
  # The account's IAM policies decide which of its principals use the key.
  statements = concat(
    [{
      Sid       = "Account"
      Effect    = "Allow"
      Principal = { AWS = "arn:${data.aws_partition.current.partition}:iam::${local.account}:root" }
      Action    = "kms:*"
      Resource  = "*"
    }],
    length(var.services) == 0 ? [] : [for condition in local.for_this_account : {
      Sid       = condition.name
      Effect    = "Allow"
      Principal = { Service = var.services }
      Action    = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"]
      Resource  = "*"
      Condition = condition.when
    }],
    length(var.grantees) == 0 ? [] : [{
      Sid       = "Use"
      Effect    = "Allow"
      Principal = { AWS = var.grantees }
      Action    = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"]
      Resource  = "*"
    }],
    length(var.grantees) == 0 ? [] : [{
      Sid       = "Grant"
      Effect    = "Allow"
      Principal = { AWS = var.grantees }
      Action    = "kms:CreateGrant"
      Resource  = "*"
      Condition = { Bool = { "kms:GrantIsForAWSResource" = "true" } }
    }],
  )
  # Services name the account in one of three ways; a request that names it in none is refused.
  for_this_account = [
    { name = "ServicesBySource", when = { StringEquals = { "aws:SourceAccount" = local.account } } },
    { name = "Trails", when = { ArnLike = { "kms:EncryptionContext:aws:cloudtrail:arn" = "arn:${data.aws_partition.current.partition}:cloudtrail:*:${local.account}:trail/*" } } },
    { name = "LogGroups", when = { ArnLike = { "kms:EncryptionContext:aws:logs:arn" = "arn:${data.aws_partition.current.partition}:logs:*:${local.account}:*" } } },
  ]
}

resource "aws_kms_key" "this" {
  region                  = var.region
  description             = var.description
  enable_key_rotation     = true
  deletion_window_in_days = 30
  multi_region            = var.multi_region
  policy                  = jsonencode({ Version = "2012-10-17", Statement = local.statements })
}

resource "aws_kms_alias" "this" {
  region        = var.region
  name          = "alias/${var.name}"
  target_key_id = aws_kms_key.this.key_id
}
