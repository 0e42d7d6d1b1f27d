# Every address of every edge: one alarm each, so that the message names the unhealthy one.
module "key" {
  source = "../../modules/aws/key"

  name        = "${var.name}-outside-alarms"
  description = "Messages of alarms about the edges' addresses"
  services    = ["cloudwatch.amazonaws.com"]
}

resource "aws_sns_topic" "this" {
  name              = "${var.name}-outside"
  kms_master_key_id = module.key.id
}

resource "aws_sns_topic_subscription" "this" {
  for_each = var.pager

  topic_arn = aws_sns_topic.this.arn
  protocol  = "email"
  endpoint  = each.value
}

resource "aws_cloudwatch_metric_alarm" "address" {
  for_each = var.health_checks

  alarm_name          = "${var.name}-${each.key}-silent"
  alarm_description   = "An edge's address does not answer from outside: ${each.key}. DNS leaves it out; clients with an old answer try it. ${var.runbook}"
  namespace           = "AWS/Route53"
  metric_name         = "HealthCheckStatus"
  dimensions          = { HealthCheckId = each.value }
  statistic           = "Minimum"
  period              = 60
  evaluation_periods  = 2
  threshold           = 1
  comparison_operator = "LessThanThreshold"
  # A deleted health check sends no data, so missing data fires, too.
  treat_missing_data = "breaching"
  alarm_actions      = [aws_sns_topic.this.arn]
  ok_actions         = [aws_sns_topic.this.arn]
}
