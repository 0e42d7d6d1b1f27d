# Valkey for one region's application: replicas in other zones that take over, TLS only, one user without administrator's
# commands, everything under a key of its own.
#
# The user's first password is made while applying, handed over by a write-only argument, and forgotten. The rotation of
# `modules/aws/secrets` gives it the next one at once, writes REDIS_URL, and changes it every month.

data "aws_region" "current" {}

module "key" {
  source = "../key"

  name        = "${var.name}-cache"
  description = "Cache ${var.name}: data, snapshots, logs"
  services    = ["logs.${data.aws_region.current.region}.amazonaws.com"]
}

resource "aws_elasticache_subnet_group" "this" {
  name       = var.name
  subnet_ids = var.subnets
}

resource "aws_security_group" "this" {
  name        = "${var.name}-cache"
  description = "Cache ${var.name}"
  vpc_id      = var.network
  tags        = { Name = "${var.name}-cache" }
}

resource "aws_vpc_security_group_ingress_rule" "clients" {
  for_each = var.clients

  security_group_id            = aws_security_group.this.id
  description                  = "Valkey from ${each.key}"
  referenced_security_group_id = each.value
  ip_protocol                  = "tcp"
  from_port                    = 6379
  to_port                      = 6379
  tags                         = { Name = "${var.name}-${each.key}" }
}

ephemeral "random_password" "application" {
  length  = 48
  special = false
}

resource "aws_elasticache_user" "application" {
  user_id              = "${var.name}-app"
  user_name            = "app"
  engine               = "valkey"
  access_string        = "on ~* &* +@all -@admin -@dangerous"
  passwords_wo         = ephemeral.random_password.application.result
  passwords_wo_version = 1
}

# The group has no default user, so a connection without a user name is refused.
resource "aws_elasticache_user_group" "this" {
  user_group_id = var.name
  engine        = "valkey"
  user_ids      = [aws_elasticache_user.application.user_id]
}

resource "aws_cloudwatch_log_group" "this" {
  for_each = toset(["slow-log", "engine-log"])

  name              = "/thalweg/${var.name}/cache/${each.value}"
  retention_in_days = 365
  kms_key_id        = module.key.arn
}

resource "aws_elasticache_replication_group" "this" {
  replication_group_id = var.name
  description          = "Cache of ${var.name}"
  engine               = "valkey"
  engine_version       = var.engine_version
  node_type            = var.node_type
  num_cache_clusters   = var.nodes

  automatic_failover_enabled = true
  multi_az_enabled           = true
  subnet_group_name          = aws_elasticache_subnet_group.this.name
  security_group_ids         = [aws_security_group.this.id]
  port                       = 6379

  transit_encryption_enabled = true
  transit_encryption_mode    = "required"
  at_rest_encryption_enabled = true
  kms_key_id                 = module.key.arn
  user_group_ids             = [aws_elasticache_user_group.this.user_group_id]

  snapshot_retention_limit   = 7
  snapshot_window            = "02:00-03:00"
  maintenance_window         = "sun:03:30-sun:04:30"
  final_snapshot_identifier  = "${var.name}-final"
  auto_minor_version_upgrade = true

  dynamic "log_delivery_configuration" {
    for_each = aws_cloudwatch_log_group.this
    content {
      destination      = log_delivery_configuration.value.name
      destination_type = "cloudwatch-logs"
      log_format       = "json"
      log_type         = log_delivery_configuration.key
    }
  }
}
