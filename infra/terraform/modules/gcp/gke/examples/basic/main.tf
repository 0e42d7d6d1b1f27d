# A production cluster in a network of its own, with its keys.

provider "google" {
  project = "example-project"
  region  = "europe-west1"
}

locals {
  labels = { environment = "production", owner = "platform" }
}

module "network" {
  source = "../../../network"

  project_id    = "example-project"
  name          = "production-europe-west1"
  region        = "europe-west1"
  cidr          = "10.20.0.0/16"
  pods_cidr     = "100.64.0.0/17"
  services_cidr = "100.64.128.0/20"
  labels        = local.labels
}

module "keys" {
  source = "../../../kms"

  project_id     = "example-project"
  project_number = 123456789012
  name           = "production-europe-west1"
  location       = "europe-west1"
  labels         = local.labels
  keys           = { cluster = ["gke"], nodes = ["compute"] }
}

module "gke" {
  source = "../.."

  project_id     = "example-project"
  name           = "production-europe-west1"
  region         = "europe-west1"
  zones          = ["europe-west1-b", "europe-west1-c", "europe-west1-d"]
  network        = module.network.network
  subnet         = module.network.private_subnet
  pods_range     = module.network.pods_range
  services_range = module.network.services_range
  node_tag       = module.network.egress_tag
  secrets_key    = module.keys.keys["cluster"]
  disks_key      = module.keys.keys["nodes"]
  labels         = local.labels
}

output "endpoint" {
  description = "DNS name of the control plane."
  value       = module.gke.endpoint
}
