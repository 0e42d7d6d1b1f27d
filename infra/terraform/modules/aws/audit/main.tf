# Once per account: a trail of every call in every region, in a locked bucket; alarms for what should never happen; threat
# detection and analysis of access; defaults that make the unsafe choice impossible (public buckets and snapshots, clear
# disks, old instance metadata).

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  partition = data.aws_partition.current.partition
  account   = data.aws_caller_identity.current.account_id
  region    = data.aws_region.current.region
  bucket    = "${var.name}-trail-${local.account}"
  trail     = "arn:${local.partition}:cloudtrail:${local.region}:${local.account}:trail/${var.name}"
}

module "key" {
  source = "../key"

  name        = "${var.name}-trail"
  description = "Trail and alarms of ${var.name}"
  services    = ["cloudtrail.amazonaws.com", "logs.${local.region}.amazonaws.com", "cloudwatch.amazonaws.com"]
}

resource "aws_cloudtrail" "this" {
  name                          = var.name
  s3_bucket_name                = aws_s3_bucket.trail.id
  kms_key_id                    = module.key.arn
  is_multi_region_trail         = true
  include_global_service_events = true
  enable_log_file_validation    = true
  cloud_watch_logs_group_arn    = "${aws_cloudwatch_log_group.trail.arn}:*"
  cloud_watch_logs_role_arn     = aws_iam_role.trail.arn

  advanced_event_selector {
    name = "Every call that changes or reads settings"
    field_selector {
      field  = "eventCategory"
      equals = ["Management"]
    }
  }
  # The state describes every resource, so the trail records each read and write of it.
  advanced_event_selector {
    name = "Terraform's state"
    field_selector {
      field  = "eventCategory"
      equals = ["Data"]
    }
    field_selector {
      field  = "resources.type"
      equals = ["AWS::S3::Object"]
    }
    field_selector {
      field       = "resources.ARN"
      starts_with = ["arn:${local.partition}:s3:::${var.name}-state-"]
    }
  }

  depends_on = [aws_s3_bucket_policy.trail]
}

resource "aws_cloudwatch_log_group" "trail" {
  name              = "/thalweg/${var.name}/trail"
  retention_in_days = 365
  kms_key_id        = module.key.arn
}

resource "aws_iam_role" "trail" {
  name                 = "${var.name}-trail"
  permissions_boundary = var.permissions_boundary
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "cloudtrail.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = { StringEquals = { "aws:SourceArn" = local.trail } }
    }]
  })
}

resource "aws_iam_role_policy" "trail" {
  name = "write"
  role = aws_iam_role.trail.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect   = "Allow"
      Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
      Resource = "${aws_cloudwatch_log_group.trail.arn}:log-stream:*"
    }]
  })
}
