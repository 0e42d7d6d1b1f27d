# What an account has once: image repositories, the trail and the guards, the budget. It comes after `bootstrap/aws` and
# before the regions.

data "aws_region" "current" {}

module "audit" {
  source = "../audit"

  name                 = "thalweg-${var.environment}"
  regions              = var.regions
  emails               = var.security_emails
  permissions_boundary = var.permissions_boundary
}

module "budget" {
  source = "../budget"

  name        = "thalweg-${var.environment}"
  monthly_usd = var.monthly_usd
  emails      = var.cost_emails
}

module "ecr" {
  source = "../ecr"

  replica_regions      = setsubtract(var.regions, [data.aws_region.current.region])
  permissions_boundary = var.permissions_boundary
}
