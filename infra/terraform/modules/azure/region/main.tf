# Everything of one environment in one Azure region, wired together: addresses, network, vault, cluster, registry, identities,
# database, cache. Environments call this module only, so their wiring cannot drift apart.

locals {
  name    = "thalweg-${var.environment}"
  group   = { name = azurerm_resource_group.this.name, location = azurerm_resource_group.this.location }
  tags    = { project = "thalweg", environment = var.environment, owner = var.owner, managed-by = "terraform" }
  network = { subnet_id = module.network.subnet_ids["private_endpoints"], virtual_network_id = module.network.virtual_network_id }
  logs    = module.network.log_storage_account_id
  # These names are unique across all of Azure, so they carry a suffix.
  unique = "thalweg${var.environment}${var.suffix}"
}

resource "azurerm_resource_group" "this" {
  name     = local.name
  location = var.location
  tags     = local.tags
}

module "edge" {
  source          = "../../edge/azure"
  name            = local.name
  resource_group  = local.group
  dns_label       = "${local.name}-${var.suffix}"
  ddos_protection = var.ddos_protection
  tags            = local.tags
}

module "network" {
  source            = "../network"
  name              = local.name
  resource_group    = local.group
  address_space     = var.addresses.network
  pod_cidr          = var.addresses.pods
  edge_addresses    = module.edge.edge_addresses
  origin_addresses  = module.edge.origin_addresses
  edge_egress_cidrs = var.edge_egress_cidrs
  http3             = var.http3
  log_storage = {
    name              = substr("${local.unique}logs", 0, 24)
    key_vault_key_id  = module.key_vault.keys["storage"].id
    identity_id       = module.key_vault.keys["storage"].identity_id
    retention_in_days = var.log_retention_in_days
  }
  tags = local.tags
}

module "key_vault" {
  source         = "../key-vault"
  name           = substr("${local.name}-${var.suffix}", 0, 24)
  resource_group = local.group
  network        = local.network
  log_storage    = { account_id = local.logs }
  tags           = local.tags
}

# The key of the database's backups in the paired region, for a restore after the loss of this region.
module "key_vault_pair" {
  source         = "../key-vault"
  name           = substr("twg-${var.environment}-geo-${var.suffix}", 0, 24)
  resource_group = { name = local.group.name, location = var.backup_region }
  keys           = { postgresql = true }
  tags           = local.tags
}

module "aks" {
  source             = "../aks"
  name               = local.name
  resource_group     = local.group
  kubernetes_version = var.cluster.kubernetes_version
  paid_sla           = var.cluster.paid_sla
  node_management    = var.cluster.node_management
  system_pool        = var.cluster.system_pool
  node_pools         = var.cluster.node_pools
  admin_group_ids    = [var.groups.cluster]
  subnet_ids         = { nodes = module.network.subnet_ids["nodes"], api_server = module.network.subnet_ids["api_server"] }
  ranges             = { pods = var.addresses.pods, services = var.addresses.services }
  encryption = {
    etcd_key_id      = module.key_vault.keys["etcd"].versioned_id
    disk_key_id      = module.key_vault.keys["disks"].id
    disk_identity_id = module.key_vault.keys["disks"].identity_id
    vault_id         = module.key_vault.id
  }
  public_ip_scope        = module.edge.resource_group_id
  log_storage_account_id = local.logs
  deletion_protection    = var.deletion_protection
  tags                   = local.tags
}

module "acr" {
  source                 = "../acr"
  name                   = local.name
  resource_group         = local.group
  registry_name          = local.unique
  replicas               = var.registry_replicas
  pullers                = { aks = module.aks.kubelet_principal_id }
  pushers                = { pipeline = var.publisher }
  encryption             = module.key_vault.keys["registry"]
  network                = local.network
  log_storage_account_id = local.logs
  tags                   = local.tags
}

module "identity" {
  source         = "../identity"
  name           = local.name
  resource_group = local.group
  issuer         = module.aks.oidc_issuer_url
  workloads = merge(
    {
      for name, namespace in { fastapi-app = "apps", thalweg-edge = "edges" } : name => {
        namespace                          = namespace
        service_account                    = name
        roles                              = [{ role = "Key Vault Secrets User", scope = "${module.key_vault.id}/secrets/${name}" }]
      }
    },
    var.dns_zone_id == null ? {} : {
      cert-manager = {
        namespace       = "cert-manager"
        service_account = "cert-manager"
        roles           = [{ role = "DNS Zone Contributor", scope = var.dns_zone_id }]
      }
    },
  )
  tags = local.tags
}

module "postgresql" {
  source         = "../postgresql"
  name           = local.name
  resource_group = local.group
  size           = var.database.size
  backup = {
    retention_in_days = var.database.retention_in_days
    geo_key_id        = module.key_vault_pair.keys["postgresql"].id
    geo_identity_id   = module.key_vault_pair.keys["postgresql"].identity_id
  }
  administrators         = var.groups.database
  encryption             = module.key_vault.keys["postgresql"]
  network                = { subnet_id = module.network.subnet_ids["postgresql"], virtual_network_id = module.network.virtual_network_id }
  log_storage_account_id = local.logs
  deletion_protection    = var.deletion_protection
  tags                   = local.tags
}

module "redis" {
  source                 = "../redis"
  name                   = local.name
  resource_group         = local.group
  sku                    = var.cache_sku
  users                  = { fastapi-app = module.identity.principals["fastapi-app"].object_id }
  encryption             = module.key_vault.keys["redis"]
  network                = local.network
  log_storage_account_id = local.logs
  tags                   = local.tags
}
