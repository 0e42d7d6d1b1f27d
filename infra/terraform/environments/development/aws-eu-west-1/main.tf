# Development in eu-west-1: small, on one NAT gateway, may be deleted.

provider "aws" {
  region              = "eu-west-1"
  allowed_account_ids = [var.account]
  default_tags {
    tags = {
      Project     = "thalweg"
      Environment = "development"
      Place       = "aws-eu-west-1"
      ManagedBy   = "terraform"
    }
  }
}

module "region" {
  source = "../../../modules/aws/region"

  name                 = "thalweg-development-eu-west-1"
  addresses            = jsondecode(file("${path.module}/../../../addresses.json"))["development"]["aws-eu-west-1"]
  zones                = ["eu-west-1a", "eu-west-1b", "eu-west-1c"]
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
  copy_region          = "eu-central-1"
  backup_lock          = var.backup_lock
  deletion_protection  = var.deletion_protection
  permissions_boundary = "arn:aws:iam::${var.account}:policy/thalweg-boundary"
}
