# One region of one environment: network, cluster, the application's stores, its closed balancer, the edges' fixed
# addresses, secrets, roles of workloads, backups. The folders of `environments` call this with their values and add
# nothing.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  partition = data.aws_partition.current.partition
  account   = data.aws_caller_identity.current.account_id
  region    = data.aws_region.current.region
  # Each region pulls from its own copy of the registry: another region's loss stops no pod.
  registry = "${local.account}.dkr.ecr.${local.region}.${data.aws_partition.current.dns_suffix}"
  data     = values(module.network.data_subnets)
  nodes    = { nodes = module.eks.security_group }
  # A region's own edges reach its application from the region's NAT addresses, as all others do from theirs.
  own_edges = { for index, address in module.network.nat_addresses : "${var.name}-${index}" => address }
}

module "network" {
  source = "../network"

  name                 = var.name
  cidr                 = var.addresses.network
  zones                = var.zones
  nat                  = var.nat
  permissions_boundary = var.permissions_boundary
}

module "eks" {
  source = "../eks"

  name                 = var.name
  network              = module.network.id
  subnets              = values(module.network.private_subnets)
  services_cidr        = var.addresses.services
  kubernetes_version   = var.kubernetes_version
  compute              = var.compute
  system_nodes         = { for key, value in var.system_nodes : key => value if value != null }
  admins               = var.admins
  viewers              = var.viewers
  api_clients          = var.api_clients
  public_access_cidrs  = var.public_access_cidrs
  deletion_protection  = var.deletion_protection
  permissions_boundary = var.permissions_boundary
}

module "edge" {
  source = "../../edge/aws"

  name                = var.name
  network             = module.network.id
  subnets             = module.network.public_subnets
  node_security_group = module.eks.security_group
  http3               = var.http3
}

module "waf" {
  source = "../waf"

  name = var.name
  mode = var.waf_mode
}

module "origin" {
  source = "../origin"

  name                = var.name
  network             = module.network.id
  node_security_group = module.eks.security_group
  edges               = merge(var.edges, local.own_edges)
  web_acl             = module.waf.arn
}

module "rds" {
  source = "../rds"
  count  = var.database == null ? 0 : 1

  name                 = var.name
  network              = module.network.id
  subnets              = local.data
  clients              = local.nodes
  instance_class       = var.database.instance_class
  multi_az             = var.database.multi_az
  backup_days          = var.database.backup_days
  storage_gib          = var.database.storage_gib
  copy_region          = var.copy_region
  deletion_protection  = var.deletion_protection
  permissions_boundary = var.permissions_boundary
}

module "elasticache" {
  source = "../elasticache"
  count  = var.cache == null ? 0 : 1

  name      = var.name
  network   = module.network.id
  subnets   = local.data
  clients   = local.nodes
  node_type = var.cache.node_type
  nodes     = var.cache.nodes
}

module "opensearch" {
  source = "../opensearch"
  count  = var.search == null ? 0 : 1

  # A domain's name is short, and the region tells which one it is.
  name          = trimsuffix(var.name, "-${local.region}")
  network       = module.network.id
  subnets       = local.data
  clients       = local.nodes
  administrator = var.search.administrator
  instance_type = var.search.instance_type
  volume_gib    = var.search.volume_gib
}

module "secrets" {
  source = "../secrets"

  name                 = var.name
  permissions_boundary = var.permissions_boundary
  secrets = merge(
    {
      thalweg-admin-token      = { kind = "token", description = "Bearer token for orders to the edges" }
      fastapi-app-database-url = { kind = "given", description = "DATABASE_URL of the application" }
    },
    { for user in module.elasticache[*].user : "fastapi-app-redis-url" => { kind = "cache", description = "REDIS_URL of the application", cache = user } },
  )
}

module "backup" {
  source = "../backup"

  name                 = var.name
  copy_region          = var.copy_region
  lock                 = var.backup_lock
  keep_days            = 35
  permissions_boundary = var.permissions_boundary
}
