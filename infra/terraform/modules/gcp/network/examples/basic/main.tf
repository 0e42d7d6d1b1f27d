# The network of one production region.

provider "google" {
  project = "example-project"
  region  = "europe-west1"
}

module "network" {
  source = "../.."

  project_id    = "example-project"
  name          = "production-europe-west1"
  region        = "europe-west1"
  cidr          = "10.20.0.0/16"
  pods_cidr     = "100.64.0.0/17"
  services_cidr = "100.64.128.0/20"
  labels        = { environment = "production", owner = "platform" }
}

output "egress_addresses" {
  description = "For the allow-lists of other clouds' origins."
  value       = module.network.egress_addresses
}
