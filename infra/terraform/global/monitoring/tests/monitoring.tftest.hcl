# Checks what rings, and that missing data fires the alarm as well.
mock_provider "aws" {
  source = "../../mocks/aws"
}
mock_provider "google" {}

variables {
  name          = "thalweg-test"
  project       = "example"
  hosts         = ["api.example.com", "www.example.com"]
  health_checks = { one-a-0 = "check-1", two-a-0 = "check-2" }
  pager         = { operators = "operators@example.com" }
  runbook       = "https://example.com/RUNBOOK.md"
}

run "names_are_asked_over_tls_from_many_places" {
  assert {
    condition = alltrue([
      for check in google_monitoring_uptime_check_config.this :
      length(check.selected_regions) >= 3 && one(check.http_check).use_ssl && one(check.http_check).validate_ssl && one(check.content_matchers).content == "\"status\":\"ok\""
    ])
    error_message = "Certificate and content are checked, from three regions at least."
  }
  assert {
    condition     = alltrue([for host, policy in google_monitoring_alert_policy.unreachable : strcontains(one(one(policy.conditions).condition_threshold).filter, google_monitoring_uptime_check_config.this[host].uptime_check_id)])
    error_message = "Each name has its own alarm."
  }
  assert {
    condition     = alltrue([for policy in google_monitoring_alert_policy.unreachable : one(one(policy.conditions).condition_threshold).evaluation_missing_data == "EVALUATION_MISSING_DATA_ACTIVE" && length(policy.notification_channels) == 1])
    error_message = "Missing data fires the alarm, and the alarm has a channel."
  }
  assert {
    condition     = strcontains(one(one(google_monitoring_alert_policy.certificate.conditions).condition_threshold).filter, "one_of(\"api.example.com\",\"www.example.com\")")
    error_message = "Certificates of all names are watched."
  }
}

run "each_address_has_its_alarm" {
  assert {
    condition     = aws_cloudwatch_metric_alarm.address["one-a-0"].dimensions.HealthCheckId == "check-1" && length(aws_cloudwatch_metric_alarm.address) == 2
    error_message = "The message names the address that is silent."
  }
  assert {
    condition     = alltrue([for alarm in aws_cloudwatch_metric_alarm.address : alarm.treat_missing_data == "breaching" && alarm.alarm_actions == toset([aws_sns_topic.this.arn])])
    error_message = "A health check that sends no data fires."
  }
  assert {
    condition     = aws_sns_topic.this.kms_master_key_id == module.key.id
    error_message = "Messages are encrypted with the customer's key."
  }
}

run "refuses_a_bad_name" {
  command = plan
  variables {
    name = "Prod"
  }
  expect_failures = [var.name]
}

run "refuses_a_wildcard" {
  command = plan
  variables {
    hosts = ["*.example.com"]
  }
  expect_failures = [var.hosts]
}

run "refuses_a_bad_path" {
  command = plan
  variables {
    path = "health"
  }
  expect_failures = [var.path]
}

run "refuses_any_answer" {
  command = plan
  variables {
    content = ""
  }
  expect_failures = [var.content]
}

run "refuses_an_empty_pager" {
  command = plan
  variables {
    pager = {}
  }
  expect_failures = [var.pager]
}

run "refuses_a_warning_that_comes_before_the_renewal" {
  command = plan
  variables {
    certificate_days = 45
  }
  expect_failures = [var.certificate_days]
}

run "refuses_a_bad_runbook" {
  command = plan
  variables {
    runbook = "RUNBOOK.md"
  }
  expect_failures = [var.runbook]
}
