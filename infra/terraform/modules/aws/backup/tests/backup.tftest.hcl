# Two locked vaults, daily copies, and the values that are refused.

mock_provider "aws" {
  source = "../../../mocks/aws"
}

variables {
  name                 = "thalweg-test"
  copy_region          = "eu-west-1"
  permissions_boundary = "arn:aws:iam::111122223333:policy/thalweg-boundary"
}

run "copies_are_kept_twice_and_locked" {
  assert {
    condition     = aws_backup_vault.this["copy"].region == "eu-west-1" && alltrue([for lock in aws_backup_vault_lock_configuration.this : lock.min_retention_days == 7])
    error_message = "Both vaults keep what they have."
  }
  assert {
    condition     = alltrue([for rule in aws_backup_plan.this.rule : one(rule.copy_action).destination_vault_arn == aws_backup_vault.this["copy"].arn && rule.lifecycle[0].delete_after == 35])
    error_message = "Every copy goes to the other region, too."
  }
  assert {
    condition     = alltrue([for place, vault in aws_backup_vault.this : vault.kms_key_arn == module.key[place].arn])
    error_message = "Each vault has the customer key of its region."
  }
  assert {
    condition     = alltrue([for lock in aws_backup_vault_lock_configuration.this : lock.changeable_for_days == null])
    error_message = "A lock without removal is made on request only."
  }
}

run "compliance_cannot_be_undone" {
  variables {
    lock = "compliance"
  }
  assert {
    condition     = alltrue([for lock in aws_backup_vault_lock_configuration.this : lock.changeable_for_days == 3])
    error_message = "After three days the lock stays."
  }
}

run "restores_are_tried" {
  assert {
    condition     = aws_backup_restore_testing_selection.databases.protected_resource_type == "RDS" && can(regex("^[a-zA-Z0-9_]+$", aws_backup_restore_testing_plan.this.name))
    error_message = "Databases are restored every week."
  }
}

run "wrong_name_is_refused" {
  command = plan
  variables {
    name = "Backup"
  }
  expect_failures = [var.name]
}

run "wrong_region_is_refused" {
  command = plan
  variables {
    copy_region = "europe"
  }
  expect_failures = [var.copy_region]
}

run "one_day_is_refused" {
  command = plan
  variables {
    keep_days = 1
  }
  expect_failures = [var.keep_days]
}

run "wrong_lock_is_refused" {
  command = plan
  variables {
    lock = "none"
  }
  expect_failures = [var.lock]
}

run "wrong_boundary_is_refused" {
  command = plan
  variables {
    permissions_boundary = "boundary"
  }
  expect_failures = [var.permissions_boundary]
}
