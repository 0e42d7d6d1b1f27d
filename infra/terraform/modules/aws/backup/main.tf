# Daily copies of everything tagged `Backup = daily`, in a locked vault here and in one in another region, and a weekly
# proof that they can be restored.
#
# What proves it: AWS Backup restores the newest copy of each database every week, reports, and deletes it again.
# Restoring for good is by hand: `RUNBOOK.md`.

data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  vaults = { here = data.aws_region.current.region, copy = var.copy_region }
}

module "key" {
  source   = "../key"
  for_each = local.vaults

  region      = each.value
  name        = "${var.name}-backup-${each.key}"
  description = "Backups of ${var.name} (${each.key})"
}

resource "aws_backup_vault" "this" {
  for_each = local.vaults

  region      = each.value
  name        = "${var.name}-${each.key}"
  kms_key_arn = module.key[each.key].arn
}

resource "aws_backup_vault_lock_configuration" "this" {
  for_each = local.vaults

  region              = each.value
  backup_vault_name   = aws_backup_vault.this[each.key].name
  min_retention_days  = 7
  max_retention_days  = 365
  changeable_for_days = var.lock == "compliance" ? 3 : null
}

resource "aws_backup_plan" "this" {
  name = var.name

  rule {
    rule_name         = "daily"
    target_vault_name = aws_backup_vault.this["here"].name
    # After the databases' own window, so that the two do not meet.
    schedule          = "cron(0 5 * * ? *)"
    start_window      = 60
    completion_window = 360
    lifecycle {
      delete_after = var.keep_days
    }
    copy_action {
      destination_vault_arn = aws_backup_vault.this["copy"].arn
      lifecycle {
        delete_after = var.keep_days
      }
    }
  }
}

resource "aws_iam_role" "this" {
  name                 = "${var.name}-backup"
  permissions_boundary = var.permissions_boundary
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Principal = { Service = "backup.amazonaws.com" }, Action = "sts:AssumeRole" }]
  })
}

resource "aws_iam_role_policy_attachment" "this" {
  for_each = toset(["AWSBackupServiceRolePolicyForBackup", "AWSBackupServiceRolePolicyForRestores"])

  role       = aws_iam_role.this.name
  policy_arn = "arn:${data.aws_partition.current.partition}:iam::aws:policy/service-role/${each.value}"
}

resource "aws_backup_selection" "this" {
  name         = "tagged-daily"
  plan_id      = aws_backup_plan.this.id
  iam_role_arn = aws_iam_role.this.arn

  selection_tag {
    type  = "STRINGEQUALS"
    key   = "Backup"
    value = "daily"
  }
}

resource "aws_backup_restore_testing_plan" "this" {
  # AWS takes letters, digits and underscores here.
  name                = replace("${var.name}_weekly", "-", "_")
  schedule_expression = "cron(0 7 ? * MON *)"
  start_window_hours  = 4

  recovery_point_selection {
    algorithm             = "LATEST_WITHIN_WINDOW"
    include_vaults        = [aws_backup_vault.this["here"].arn]
    recovery_point_types  = ["SNAPSHOT"]
    selection_window_days = 7
  }
}

resource "aws_backup_restore_testing_selection" "databases" {
  name                      = "databases"
  restore_testing_plan_name = aws_backup_restore_testing_plan.this.name
  protected_resource_type   = "RDS"
  protected_resource_arns   = ["*"]
  iam_role_arn              = aws_iam_role.this.arn
  validation_window_hours   = 1
}
