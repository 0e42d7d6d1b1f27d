# One region of the platform on Google Cloud: network, keys, cluster, images, database, cache, secrets, identities, and
# the ways in. An environment's folder calls this and nothing else, so that environments differ in values only.
#
# The first apply may leave other_edges empty: then the origin answers this region's own edges. Put the egress
# addresses of the other places into it, and this region's into theirs, and apply again.
#
# Afterwards, with the names that this puts out:
#
# ```sh
# gcloud container clusters get-credentials production-europe-west1 --location europe-west1 --dns-endpoint
# gcloud secrets versions add thalweg-admin-token --data-file admin.token
# ```
#
# Keys, egress addresses and the edge's address are never destroyed by Terraform: taking an environment away begins with
# `terraform state rm` of these.

locals {
  name = "${var.environment}-${var.region}"

  labels = {
    project     = "thalweg"
    environment = var.environment
    owner       = var.owner
    managed-by  = "terraform"
  }
}

module "network" {
  source = "../network"

  project_id    = var.project_id
  name          = local.name
  region        = var.region
  cidr          = var.addresses.network
  pods_cidr     = var.addresses.pods
  services_cidr = var.addresses.services
  labels        = local.labels
}

module "gke" {
  source = "../gke"

  project_id         = var.project_id
  name               = local.name
  region             = var.region
  zones              = var.zones
  network            = module.network.network
  subnet             = module.network.private_subnet
  pods_range         = module.network.pods_range
  services_range     = module.network.services_range
  node_tag           = module.network.egress_tag
  kubernetes_version = var.cluster.version
  release_channel    = var.cluster.channel
  autopilot          = var.cluster.autopilot
  nodes              = var.cluster.nodes
  external_api       = var.cluster.external_api
  admins_group       = var.cluster.admins_group
  secrets_key        = module.keys.keys["cluster"]
  disks_key          = module.keys.keys["nodes"]
  backup             = { region = var.backup_region, kms_key = module.backup_keys.keys["cluster"] }
  labels             = local.labels
}

module "images" {
  source = "../artifact-registry"

  project_id     = var.project_id
  location       = var.images_location
  kms_key        = module.image_keys.keys["images"]
  readers        = { nodes = module.gke.node_account }
  writers        = var.image_writers
  enforce        = var.images_enforced
  allowed_images = var.mirrors
  labels         = local.labels
}

module "iam" {
  source = "../iam"

  project_id    = var.project_id
  workload_pool = module.gke.workload_pool

  workloads = {
    fastapi-app = {
      namespace = "apps"
      account   = "fastapi-app"
      roles     = ["roles/cloudsql.client", "roles/cloudsql.instanceUser", "roles/memorystore.dbConnectionUser"]
    }
    thalweg-edge = {
      namespace = "edges"
      account   = "thalweg-edge"
    }
  }
}

module "database" {
  source = "../cloud-sql"

  project_id       = var.project_id
  name             = local.name
  region           = var.region
  network          = module.network.network
  endpoints_subnet = module.network.endpoints_subnet
  kms_key          = module.keys.keys["database"]
  tier             = var.database.tier
  disk_gb          = var.database.disk_gb
  users            = ["fastapi-app@${var.project_id}.iam"]
  backup_region    = var.backup_region
  retained_backups = var.database.retained
  replica          = var.database.copy ? { region = var.backup_region, kms_key = module.backup_keys.keys["database"] } : null
  labels           = local.labels

  # A database user of an account that does not exist yet is refused.
  depends_on = [module.iam]
}

module "cache" {
  source = "../memorystore"

  project_id = var.project_id
  name       = local.name
  region     = var.region
  network    = module.network.network
  kms_key    = module.keys.keys["cache"]
  node_type  = var.cache.node_type
  replicas   = var.cache.replicas
  labels     = local.labels
}

# The names that the charts' externalSecret.keys have. Their values are written outside of Terraform.
module "secrets" {
  source = "../secrets"

  project_id     = var.project_id
  project_number = var.project_number
  name           = local.name
  region         = var.region
  kms_key        = module.keys.keys["secrets"]
  labels         = local.labels

  secrets = {
    fastapi-app-database-url = { readers = { app = module.iam.members["fastapi-app"] } }
    fastapi-app-redis-url    = { readers = { app = module.iam.members["fastapi-app"] } }
    thalweg-admin-token      = { readers = { edge = module.iam.members["thalweg-edge"] }, rotation_days = 30 }
  }
}

module "edge" {
  source = "../../edge/gcp"

  project_id = var.project_id
  region     = var.region
  labels     = local.labels
}

module "origin" {
  source = "../origin"

  project_id = var.project_id
  region     = var.region
  edges      = setunion(module.network.egress_addresses, var.other_edges)
  labels     = local.labels
}
