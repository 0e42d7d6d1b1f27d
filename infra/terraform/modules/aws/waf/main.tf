# The web ACL of one region's application balancer: known bad input, known bad addresses, too many requests.
#
# It protects the application's balancer, not the edge's: that one is layer 4 and passes TLS through unread. The client's
# address comes from `X-Forwarded-For`. The header can be trusted: the edge replaces what a client sends there, and the
# balancer accepts connections from edges only.

data "aws_region" "current" {}

locals {
  groups = {
    AWSManagedRulesAmazonIpReputationList = 10
    AWSManagedRulesKnownBadInputsRuleSet  = 20
    AWSManagedRulesCommonRuleSet          = 30
  }
}

resource "aws_wafv2_web_acl" "this" {
  name        = var.name
  description = "Application of ${var.name}"
  scope       = "REGIONAL"

  default_action {
    allow {}
  }

  dynamic "rule" {
    for_each = local.groups
    content {
      name     = rule.key
      priority = rule.value
      override_action {
        dynamic "none" {
          for_each = var.mode == "block" ? [1] : []
          content {}
        }
        dynamic "count" {
          for_each = var.mode == "count" ? [1] : []
          content {}
        }
      }
      statement {
        managed_rule_group_statement {
          name        = rule.key
          vendor_name = "AWS"
          # This rule would block every body of more than 8 KB. The edge limits the size of bodies.
          dynamic "rule_action_override" {
            for_each = rule.key == "AWSManagedRulesCommonRuleSet" ? ["SizeRestrictions_BODY"] : []
            content {
              name = rule_action_override.value
              action_to_use {
                count {}
              }
            }
          }
        }
      }
      visibility_config {
        cloudwatch_metrics_enabled = true
        metric_name                = rule.key
        sampled_requests_enabled   = true
      }
    }
  }

  rule {
    name     = "too-many-requests"
    priority = 40
    action {
      dynamic "block" {
        for_each = var.mode == "block" ? [1] : []
        content {
          custom_response {
            response_code = 429
          }
        }
      }
      dynamic "count" {
        for_each = var.mode == "count" ? [1] : []
        content {}
      }
    }
    statement {
      rate_based_statement {
        limit                 = var.requests_per_minute
        evaluation_window_sec = 60
        aggregate_key_type    = "FORWARDED_IP"
        forwarded_ip_config {
          header_name = "X-Forwarded-For"
          # A request without the header did not come through an edge.
          fallback_behavior = "MATCH"
        }
      }
    }
    visibility_config {
      cloudwatch_metrics_enabled = true
      metric_name                = "too-many-requests"
      sampled_requests_enabled   = true
    }
  }

  visibility_config {
    cloudwatch_metrics_enabled = true
    metric_name                = var.name
    sampled_requests_enabled   = true
  }
}

module "key" {
  source = "../key"

  name        = "${var.name}-waf"
  description = "Log of the web ACL of ${var.name}"
  services    = ["logs.${data.aws_region.current.region}.amazonaws.com"]
}

# AWS WAF writes to groups of this prefix only.
resource "aws_cloudwatch_log_group" "this" {
  name              = "aws-waf-logs-${var.name}"
  retention_in_days = 365
  kms_key_id        = module.key.arn
}

resource "aws_wafv2_web_acl_logging_configuration" "this" {
  resource_arn            = aws_wafv2_web_acl.this.arn
  log_destination_configs = [aws_cloudwatch_log_group.this.arn]

  dynamic "redacted_fields" {
    for_each = toset(["authorization", "cookie"])
    content {
      single_header {
        name = redacted_fields.value
      }
    }
  }
  redacted_fields {
    query_string {}
  }
}
