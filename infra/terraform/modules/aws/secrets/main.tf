# Secrets that pods read through External Secrets. Terraform creates the secrets, never their values: the rotation creates
# and changes tokens and cache passwords, an operator puts the others. A resource policy denies every other account.
#
# External Secrets fetches a changed value within its `refresh` (one hour). The old value works until then: an edge keeps
# its token until its next reload, and a cache accepts the old and the new password until the next rotation. RDS changes
# its master password itself.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  account = data.aws_caller_identity.current.account_id
  rotated = { for name, secret in var.secrets : name => secret if secret.kind != "given" }
  caches  = { for name, secret in var.secrets : name => secret.cache if secret.kind == "cache" }
}

module "key" {
  source = "../key"

  name        = "${var.name}-secrets"
  description = "Secrets of ${var.name} and the log of their rotation"
  services    = ["logs.${data.aws_region.current.region}.amazonaws.com"]
}

module "replica_key" {
  source   = "../key"
  for_each = var.replica_regions

  region      = each.value
  name        = "${var.name}-secrets"
  description = "Copies of secrets of ${var.name}"
}

resource "aws_secretsmanager_secret" "this" {
  for_each = var.secrets

  name                    = each.key
  description             = each.value.description
  kms_key_id              = module.key.arn
  recovery_window_in_days = 30

  dynamic "replica" {
    for_each = var.replica_regions
    content {
      region     = replica.value
      kms_key_id = module.replica_key[replica.value].arn
    }
  }
}

resource "aws_secretsmanager_secret_policy" "this" {
  for_each = var.secrets

  secret_arn          = aws_secretsmanager_secret.this[each.key].arn
  block_public_policy = true
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "ThisAccountOnly"
      Effect    = "Deny"
      Principal = "*"
      Action    = "secretsmanager:GetSecretValue"
      Resource  = "*"
      Condition = { StringNotEquals = { "aws:PrincipalAccount" = local.account } }
    }]
  })
}

resource "aws_secretsmanager_secret_rotation" "this" {
  for_each = local.rotated

  secret_id           = aws_secretsmanager_secret.this[each.key].id
  rotation_lambda_arn = aws_lambda_function.rotate[0].arn
  # Makes the first value, too.
  rotate_immediately = true
  rotation_rules {
    automatically_after_days = 30
  }

  depends_on = [aws_lambda_permission.rotate]
}
