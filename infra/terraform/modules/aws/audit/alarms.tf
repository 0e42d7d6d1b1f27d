# What should never happen, told at once.

locals {
  alarms = {
    root           = "{ $.userIdentity.type = \"Root\" && $.eventType != \"AwsServiceEvent\" && $.userIdentity.invokedBy NOT EXISTS }"
    long-lived-key = "{ $.eventName = \"CreateAccessKey\" || $.eventName = \"CreateUser\" }"
    trail          = "{ $.eventSource = \"cloudtrail.amazonaws.com\" && ($.eventName = \"StopLogging\" || $.eventName = \"DeleteTrail\" || $.eventName = \"UpdateTrail\") }"
    key-deletion   = "{ $.eventSource = \"kms.amazonaws.com\" && ($.eventName = \"ScheduleKeyDeletion\" || $.eventName = \"DisableKey\") }"
    boundary       = "{ $.eventName = \"DeleteRolePermissionsBoundary\" || ($.eventName = \"CreatePolicyVersion\" && $.requestParameters.policyArn = \"*boundary\") }"
    denied         = "{ $.errorCode = \"AccessDenied\" && $.userIdentity.sessionContext.sessionIssuer.userName = \"terraform-provisioner\" }"
  }
}

resource "aws_sns_topic" "alarms" {
  name              = "${var.name}-audit"
  kms_master_key_id = module.key.id
}

resource "aws_sns_topic_policy" "alarms" {
  arn = aws_sns_topic.alarms.arn
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "cloudwatch.amazonaws.com" }
      Action    = "sns:Publish"
      Resource  = aws_sns_topic.alarms.arn
      Condition = { StringEquals = { "aws:SourceAccount" = local.account } }
    }]
  })
}

resource "aws_sns_topic_subscription" "alarms" {
  for_each = var.emails

  topic_arn = aws_sns_topic.alarms.arn
  protocol  = "email"
  endpoint  = each.value
}

resource "aws_cloudwatch_log_metric_filter" "this" {
  for_each = local.alarms

  name           = "${var.name}-${each.key}"
  log_group_name = aws_cloudwatch_log_group.trail.name
  pattern        = each.value

  metric_transformation {
    namespace = "Thalweg/Audit"
    name      = "${var.name}-${each.key}"
    value     = "1"
  }
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = local.alarms

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = "The trail has a call of the kind '${each.key}'"
  namespace           = "Thalweg/Audit"
  metric_name         = aws_cloudwatch_log_metric_filter.this[each.key].metric_transformation[0].name
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
}
