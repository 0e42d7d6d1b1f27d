# PostgreSQL for one region's application: a standby in another zone, login by IAM or by a password that RDS makes, keeps
# and changes itself (Terraform never sees it), TLS only, everything under a key of its own, recovery to any second of the
# last weeks, here and from a copy in another region.
#
# The copy in another region loses at most some minutes (RPO); a database is restored from it by hand, in under an hour
# for small ones (RTO): `RUNBOOK.md`. Without it, a region's loss is the loss of its data.

data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  logs = toset(["postgresql", "upgrade"])
}

module "key" {
  source = "../key"

  name        = "${var.name}-database"
  description = "Database ${var.name}: storage, backups, logs, master password"
  services    = ["logs.${data.aws_region.current.region}.amazonaws.com"]
}

resource "aws_db_subnet_group" "this" {
  name       = var.name
  subnet_ids = var.subnets
}

resource "aws_security_group" "this" {
  name        = "${var.name}-database"
  description = "Database ${var.name}"
  vpc_id      = var.network
  tags        = { Name = "${var.name}-database" }
}

resource "aws_vpc_security_group_ingress_rule" "clients" {
  for_each = var.clients

  security_group_id            = aws_security_group.this.id
  description                  = "PostgreSQL from ${each.key}"
  referenced_security_group_id = each.value
  ip_protocol                  = "tcp"
  from_port                    = 5432
  to_port                      = 5432
  tags                         = { Name = "${var.name}-${each.key}" }
}

resource "aws_db_parameter_group" "this" {
  name        = "${var.name}-postgres${var.engine_version}"
  family      = "postgres${var.engine_version}"
  description = "TLS only; connections and slow statements are logged"

  parameter {
    name  = "rds.force_ssl"
    value = "1"
  }
  parameter {
    name  = "ssl_min_protocol_version"
    value = "TLSv1.2"
  }
  parameter {
    name  = "log_connections"
    value = "1"
  }
  parameter {
    name  = "log_disconnections"
    value = "1"
  }
  parameter {
    name  = "log_min_duration_statement"
    value = "1000"
  }
  parameter {
    name  = "log_statement"
    value = "ddl"
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_cloudwatch_log_group" "this" {
  for_each = local.logs

  name              = "/aws/rds/instance/${var.name}/${each.value}"
  retention_in_days = 365
  kms_key_id        = module.key.arn
}

resource "aws_iam_role" "monitoring" {
  name                 = "${var.name}-database-monitoring"
  permissions_boundary = var.permissions_boundary
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "monitoring.rds.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

resource "aws_iam_role_policy_attachment" "monitoring" {
  role       = aws_iam_role.monitoring.name
  policy_arn = "arn:${data.aws_partition.current.partition}:iam::aws:policy/service-role/AmazonRDSEnhancedMonitoringRole"
}

resource "aws_db_instance" "this" {
  identifier     = var.name
  engine         = "postgres"
  engine_version = var.engine_version
  instance_class = var.instance_class
  multi_az       = var.multi_az
  db_name        = "app"
  username       = "master"

  manage_master_user_password         = true
  master_user_secret_kms_key_id       = module.key.id
  iam_database_authentication_enabled = true

  # modules/aws/backup copies what has this tag.
  tags = { Backup = "daily" }

  storage_type          = "gp3"
  allocated_storage     = var.storage_gib
  max_allocated_storage = var.storage_gib * 4
  storage_encrypted     = true
  kms_key_id            = module.key.arn

  db_subnet_group_name   = aws_db_subnet_group.this.name
  vpc_security_group_ids = [aws_security_group.this.id]
  publicly_accessible    = false
  ca_cert_identifier     = "rds-ca-rsa2048-g1"
  parameter_group_name   = aws_db_parameter_group.this.name

  backup_retention_period  = var.backup_days
  backup_window            = "02:00-03:00"
  maintenance_window       = "sun:03:30-sun:04:30"
  copy_tags_to_snapshot    = true
  delete_automated_backups = false
  deletion_protection      = var.deletion_protection
  # A new name each time would make each plan differ; a second deletion of one name needs the first snapshot gone.
  final_snapshot_identifier  = "${var.name}-final"
  auto_minor_version_upgrade = true

  enabled_cloudwatch_logs_exports = local.logs
  monitoring_interval             = 60
  monitoring_role_arn             = aws_iam_role.monitoring.arn
  performance_insights_enabled    = true
  performance_insights_kms_key_id = module.key.arn

  depends_on = [aws_cloudwatch_log_group.this, aws_iam_role_policy_attachment.monitoring]
}

module "copy_key" {
  source = "../key"
  count  = var.copy_region == null ? 0 : 1

  region      = var.copy_region
  name        = "${var.name}-database-copy"
  description = "Copies of backups of ${var.name}"
}

resource "aws_db_instance_automated_backups_replication" "this" {
  count = var.copy_region == null ? 0 : 1

  region                 = var.copy_region
  source_db_instance_arn = aws_db_instance.this.arn
  kms_key_id             = module.copy_key[0].arn
  retention_period       = var.backup_days
}
