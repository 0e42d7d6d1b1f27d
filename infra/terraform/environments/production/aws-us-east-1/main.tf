# Production in us-east-1: what clients use.

provider "aws" {
  region              = "us-east-1"
  allowed_account_ids = [var.account]
  default_tags {
    tags = {
      Project     = "thalweg"
      Environment = "production"
      Place       = "aws-us-east-1"
      ManagedBy   = "terraform"
    }
  }
}

module "region" {
  source = "../../../modules/aws/region"

  name                 = "thalweg-production-us-east-1"
  addresses            = jsondecode(file("${path.module}/../../../addresses.json"))["production"]["aws-us-east-1"]
  zones                = ["us-east-1a", "us-east-1b", "us-east-1c"]
  edges                = var.edges
  kubernetes_version   = var.kubernetes_version
  compute              = var.compute
  admins               = var.admins
  viewers              = var.viewers
  api_clients          = var.api_clients
  public_access_cidrs  = var.public_access_cidrs
  nat                  = var.nat
  system_nodes         = var.system_nodes
  database             = var.database
  cache                = var.cache
  search               = var.search
  waf_mode             = var.waf_mode
  http3                = var.http3
  copy_region          = "us-west-2"
  backup_lock          = var.backup_lock
  deletion_protection  = var.deletion_protection
  permissions_boundary = "arn:aws:iam::${var.account}:policy/thalweg-boundary"
}
