# One environment in one Azure region. This file is the same in every environment: only terraform.tfvars differs.
module "region" {
  source = "../../../modules/azure/region"

  environment           = var.environment
  location              = "southeastasia"
  addresses             = jsondecode(file("${path.module}/../../../addresses.json"))[var.environment]["azure-southeastasia"]
  owner                 = var.owner
  suffix                = var.suffix
  publisher             = var.publisher
  edge_egress_cidrs     = var.edge_egress_cidrs
  http3                 = var.http3
  groups                = var.groups
  cluster               = var.cluster
  database              = var.database
  cache_sku             = var.cache_sku
  backup_region         = var.backup_region
  registry_replicas     = var.registry_replicas
  log_retention_in_days = var.log_retention_in_days
  ddos_protection       = var.ddos_protection
  deletion_protection   = var.deletion_protection
  dns_zone_id           = var.dns_zone_id
}

module "budget" {
  source = "../../../modules/azure/budget"

  name            = "thalweg-${var.environment}"
  subscription_id = var.subscription_id
  monthly_amount  = var.budget.monthly_amount
  emails          = var.budget.emails
  since           = var.budget.since
}
