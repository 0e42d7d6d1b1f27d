# The probe from outside: the edges as clients see them, asked from another cloud than the one that serves DNS. infra/monitoring
# watches the edges from inside; this module fires when clients cannot reach them at all.
#
# - Google Cloud asks every name from six regions, once a minute, with the certificate checked: an alarm fires when two or
#   more regions get no right answer for two minutes, and when a certificate is about to expire.
# - Route 53's health checks (global/dns) ask every address of every edge: DNS hides an unhealthy address, these alarms name it.
#
# Use an AWS provider in us-east-1: Route 53 keeps health check metrics there.
locals {
  regions = ["USA_VIRGINIA", "USA_OREGON", "USA_IOWA", "EUROPE", "SOUTH_AMERICA", "ASIA_PACIFIC"]
  labels  = { project = "thalweg", name = var.name, managed-by = "terraform" }
}

resource "google_monitoring_notification_channel" "this" {
  for_each = var.pager

  project      = var.project
  display_name = "${var.name} ${each.key}"
  type         = "email"
  labels       = { email_address = each.value }
  user_labels  = local.labels
  force_delete = false
}

resource "google_monitoring_uptime_check_config" "this" {
  for_each = var.hosts

  project          = var.project
  display_name     = "${var.name} ${each.key}"
  period           = "60s"
  timeout          = "10s"
  selected_regions = local.regions
  checker_type     = "STATIC_IP_CHECKERS"
  user_labels      = local.labels

  http_check {
    path           = var.path
    port           = 443
    use_ssl        = true
    validate_ssl   = true
    request_method = "GET"
    accepted_response_status_codes {
      status_value = 200
    }
  }
  content_matchers {
    content = var.content
    matcher = "CONTAINS_STRING"
  }
  monitored_resource {
    type   = "uptime_url"
    labels = { project_id = var.project, host = each.key }
  }
}

resource "google_monitoring_alert_policy" "unreachable" {
  for_each = var.hosts

  project               = var.project
  display_name          = "${each.key} is not reached from outside"
  combiner              = "OR"
  severity              = "CRITICAL"
  notification_channels = [for channel in google_monitoring_notification_channel.this : channel.id]
  user_labels           = local.labels

  conditions {
    display_name = "two or more regions get no right answer"
    condition_threshold {
      filter = join(" AND ", [
        "metric.type=\"monitoring.googleapis.com/uptime_check/check_passed\"",
        "resource.type=\"uptime_url\"",
        "metric.labels.check_id=\"${google_monitoring_uptime_check_config.this[each.key].uptime_check_id}\"",
      ])
      comparison      = "COMPARISON_GT"
      threshold_value = 1 # one region alone is that region's way, not the edges
      duration        = "120s"
      # Missing data means that the probe itself has stopped, so it fires, too.
      evaluation_missing_data = "EVALUATION_MISSING_DATA_ACTIVE"
      aggregations {
        alignment_period     = "120s"
        per_series_aligner   = "ALIGN_NEXT_OLDER"
        cross_series_reducer = "REDUCE_COUNT_FALSE"
        group_by_fields      = ["resource.label.host"]
      }
    }
  }
  documentation {
    mime_type = "text/markdown"
    content   = "Clients do not reach ${each.key}. What to do: ${var.runbook}"
  }
}

resource "google_monitoring_alert_policy" "certificate" {
  project               = var.project
  display_name          = "a certificate of the edges ends soon"
  combiner              = "OR"
  severity              = "WARNING"
  notification_channels = [for channel in google_monitoring_notification_channel.this : channel.id]
  user_labels           = local.labels

  conditions {
    display_name = "fewer than ${var.certificate_days} days"
    condition_threshold {
      filter          = "metric.type=\"monitoring.googleapis.com/uptime_check/time_until_ssl_cert_expires\" AND resource.type=\"uptime_url\" AND resource.labels.host=one_of(${join(",", [for host in sort(var.hosts) : "\"${host}\""])})"
      comparison      = "COMPARISON_LT"
      threshold_value = var.certificate_days
      duration        = "600s"
      aggregations {
        alignment_period     = "1200s"
        per_series_aligner   = "ALIGN_NEXT_OLDER"
        cross_series_reducer = "REDUCE_MIN"
        group_by_fields      = ["resource.label.host"]
      }
    }
  }
  documentation {
    mime_type = "text/markdown"
    content   = "cert-manager should have renewed it. What to do: ${var.runbook}"
  }
}
