# Everything is recorded, nothing of it can be lost, and wrong values are refused.

mock_provider "aws" {
  source = "../../../mocks/aws"
}

variables {
  name                 = "thalweg-test"
  emails               = ["security@example.com"]
  permissions_boundary = "arn:aws:iam::111122223333:policy/thalweg-boundary"
}

run "the_trail_is_complete_and_locked" {
  command = plan
  assert {
    condition     = aws_cloudtrail.this.is_multi_region_trail && aws_cloudtrail.this.enable_log_file_validation && aws_cloudtrail.this.include_global_service_events
    error_message = "Every region is recorded, and a changed file is noticed."
  }
  assert {
    condition     = aws_s3_bucket.trail.object_lock_enabled && aws_s3_bucket_object_lock_configuration.trail.rule[0].default_retention[0].days == 400
    error_message = "The trail cannot be deleted early."
  }
  assert {
    condition     = strcontains(aws_s3_bucket_policy.trail.policy, "aws:SecureTransport")
    error_message = "TLS only."
  }
}

run "every_region_is_guarded" {
  command = plan
  assert {
    condition     = length(aws_guardduty_detector.this) == 3 && length(aws_guardduty_detector_feature.this) == 15 && length(aws_ebs_encryption_by_default.this) == 3
    error_message = "Each region has its detector, its features and its defaults."
  }
  assert {
    condition     = keys(aws_cloudwatch_metric_alarm.this) == keys(local.alarms) && alltrue([for alarm in aws_cloudwatch_metric_alarm.this : alarm.threshold == 1])
    error_message = "Once is enough for each alarm."
  }
}

run "wrong_name_is_refused" {
  command = plan
  variables {
    name = "Audit"
  }
  expect_failures = [var.name]
}

run "wrong_region_is_refused" {
  command = plan
  variables {
    regions = ["europe"]
  }
  expect_failures = [var.regions]
}

run "a_short_trail_is_refused" {
  command = plan
  variables {
    keep_days = 30
  }
  expect_failures = [var.keep_days]
}

run "no_reader_is_refused" {
  command = plan
  variables {
    emails = []
  }
  expect_failures = [var.emails]
}

run "wrong_boundary_is_refused" {
  command = plan
  variables {
    permissions_boundary = "boundary"
  }
  expect_failures = [var.permissions_boundary]
}
