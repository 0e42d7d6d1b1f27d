# OpenSearch for logs and search: three zones, inside the network only, TLS 1.2 at least, encrypted at rest and between
# nodes under a key of its own, rights by IAM roles and the domain's own roles, audit log on.
#
# Elasticsearch is not offered by any of the three clouds itself. On Google Cloud and Azure, and on a plain cluster, Loki
# keeps the logs (`infra/kustomize/observability`), or OpenSearch runs on Kubernetes.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  arn  = "arn:${data.aws_partition.current.partition}:es:${data.aws_region.current.region}:${data.aws_caller_identity.current.account_id}:domain/${var.name}"
  logs = { AUDIT_LOGS = "audit", ES_APPLICATION_LOGS = "application", INDEX_SLOW_LOGS = "index-slow", SEARCH_SLOW_LOGS = "search-slow" }
}

module "key" {
  source = "../key"

  name        = "${var.name}-search"
  description = "Search domain ${var.name}: data, snapshots and logs"
  services    = ["es.amazonaws.com", "logs.${data.aws_region.current.region}.amazonaws.com"]
}

resource "aws_security_group" "this" {
  name        = "${var.name}-search"
  description = "Search domain ${var.name}"
  vpc_id      = var.network
  tags        = { Name = "${var.name}-search" }
}

resource "aws_vpc_security_group_ingress_rule" "clients" {
  for_each = var.clients

  security_group_id            = aws_security_group.this.id
  description                  = "HTTPS from ${each.key}"
  referenced_security_group_id = each.value
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
  tags                         = { Name = "${var.name}-${each.key}" }
}

resource "aws_cloudwatch_log_group" "this" {
  for_each = local.logs

  name              = "/thalweg/${var.name}/search/${each.value}"
  retention_in_days = 365
  kms_key_id        = module.key.arn
}

resource "aws_cloudwatch_log_resource_policy" "this" {
  policy_name = "${var.name}-search"
  policy_document = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "es.amazonaws.com" }
      Action    = ["logs:CreateLogStream", "logs:PutLogEvents"]
      Resource  = [for group in aws_cloudwatch_log_group.this : "${group.arn}:*"]
      Condition = { StringEquals = { "aws:SourceAccount" = data.aws_caller_identity.current.account_id } }
    }]
  })
}

resource "aws_opensearch_domain" "this" {
  domain_name    = var.name
  engine_version = "OpenSearch_2.19"
  # The domain's own roles decide about signed requests from inside the network.
  access_policies = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { AWS = "arn:${data.aws_partition.current.partition}:iam::${data.aws_caller_identity.current.account_id}:root" }
      Action    = "es:ESHttp*"
      Resource  = "${local.arn}/*"
    }]
  })

  cluster_config {
    instance_type            = var.instance_type
    instance_count           = 3
    zone_awareness_enabled   = true
    dedicated_master_enabled = true
    dedicated_master_type    = "m7g.medium.search"
    dedicated_master_count   = 3
    zone_awareness_config {
      availability_zone_count = 3
    }
  }

  ebs_options {
    ebs_enabled = true
    volume_type = "gp3"
    volume_size = var.volume_gib
  }

  vpc_options {
    subnet_ids         = var.subnets
    security_group_ids = [aws_security_group.this.id]
  }

  encrypt_at_rest {
    enabled    = true
    kms_key_id = module.key.arn
  }
  node_to_node_encryption {
    enabled = true
  }
  domain_endpoint_options {
    enforce_https       = true
    tls_security_policy = "Policy-Min-TLS-1-2-PFS-2023-10"
  }

  advanced_security_options {
    enabled                        = true
    anonymous_auth_enabled         = false
    internal_user_database_enabled = false
    master_user_options {
      master_user_arn = var.administrator
    }
  }

  log_publishing_options {
    enabled                  = true
    log_type                 = "AUDIT_LOGS"
    cloudwatch_log_group_arn = aws_cloudwatch_log_group.this["AUDIT_LOGS"].arn
  }
  log_publishing_options {
    log_type                 = "ES_APPLICATION_LOGS"
    cloudwatch_log_group_arn = aws_cloudwatch_log_group.this["ES_APPLICATION_LOGS"].arn
  }
  log_publishing_options {
    log_type                 = "INDEX_SLOW_LOGS"
    cloudwatch_log_group_arn = aws_cloudwatch_log_group.this["INDEX_SLOW_LOGS"].arn
  }
  log_publishing_options {
    log_type                 = "SEARCH_SLOW_LOGS"
    cloudwatch_log_group_arn = aws_cloudwatch_log_group.this["SEARCH_SLOW_LOGS"].arn
  }

  software_update_options {
    auto_software_update_enabled = true
  }
  off_peak_window_options {
    enabled = true
  }

  depends_on = [aws_cloudwatch_log_resource_policy.this]
}
