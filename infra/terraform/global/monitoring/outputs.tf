# Values for dashboards.
output "uptime_checks" {
  description = "Check by name."
  value       = { for host, check in google_monitoring_uptime_check_config.this : host => check.uptime_check_id }
}

output "topic" {
  description = "Topic that alarms about addresses go to."
  value       = aws_sns_topic.this.arn
}
