# Threat detection, analysis of access, and defaults of the account in each region.

resource "aws_guardduty_detector" "this" {
  for_each = var.regions

  region                       = each.value
  enable                       = true
  finding_publishing_frequency = "FIFTEEN_MINUTES"
}

locals {
  features = merge([
    for region in var.regions : {
      for feature in ["EKS_AUDIT_LOGS", "S3_DATA_EVENTS", "RDS_LOGIN_EVENTS", "EBS_MALWARE_PROTECTION", "LAMBDA_NETWORK_LOGS"] :
      "${region}:${feature}" => { region = region, feature = feature }
    }
  ]...)
}

resource "aws_guardduty_detector_feature" "this" {
  for_each = local.features

  region      = each.value.region
  detector_id = aws_guardduty_detector.this[each.value.region].id
  name        = each.value.feature
  status      = "ENABLED"
}

resource "aws_accessanalyzer_analyzer" "this" {
  for_each = var.regions

  region        = each.value
  analyzer_name = "${var.name}-${each.value}"
  type          = "ACCOUNT"
}

resource "aws_s3_account_public_access_block" "this" {
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_ebs_encryption_by_default" "this" {
  for_each = var.regions

  region  = each.value
  enabled = true
}

resource "aws_ebs_snapshot_block_public_access" "this" {
  for_each = var.regions

  region = each.value
  state  = "block-all-sharing"
}

resource "aws_ec2_instance_metadata_defaults" "this" {
  for_each = var.regions

  region                      = each.value
  http_tokens                 = "required"
  http_put_response_hop_limit = 1
}
