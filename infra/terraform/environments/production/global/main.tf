# What one environment has once over all clouds: names, identities that prove them, the probe from outside, rules that bind
# every principal. It comes after the places, whose outputs are its values. This file is the same in every environment.
#
# Applied by a person: it makes issuers that an account trusts, and rules above accounts.
locals {
  name  = "thalweg-${var.environment}"
  hosts = setunion(module.dns.hosts, toset(flatten([for cluster in values(var.clusters) : cluster.hosts])))
}

module "dns" {
  source              = "../../../global/dns"
  zone                = var.dns.zone
  hosts               = var.dns.hosts
  edges               = var.edges
  steering            = var.dns.steering
  ttl_s               = var.dns.ttl_s
  certificate_contact = var.contact
}

module "certificates" {
  source               = "../../../global/certificates"
  zone_id              = module.dns.zone_id
  hosts                = local.hosts
  clusters             = { for name, of in var.clusters : name => { issuer = of.issuer, hosts = setunion(of.hosts, module.dns.hosts) } }
  permissions_boundary = "arn:aws:iam::${var.aws.account}:policy/thalweg-boundary"
}

module "monitoring" {
  source        = "../../../global/monitoring"
  name          = local.name
  project       = var.google.project
  hosts         = module.dns.hosts
  health_checks = module.dns.health_checks
  pager         = var.pager
  runbook       = var.runbook
}

module "security" {
  source = "../../../global/security"
  name   = local.name
  aws    = var.aws.unit == null ? null : { target_id = var.aws.unit, regions = ["us-east-1", "eu-west-1", "ap-southeast-1"] }
  google = { project = var.google.project, locations = ["in:europe-west1-locations", "in:eu-locations"] }
  azure  = { subscription_id = var.azure.subscription_id, locations = ["southeastasia", "eastasia"], contact = var.contact, phone = var.phone }
}
