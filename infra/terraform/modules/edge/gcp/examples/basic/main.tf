# The address for the edges of one region, whose balancer GKE makes.

provider "google" {
  project = "example-project"
  region  = "europe-west1"
}

module "edge" {
  source = "../.."

  project_id = "example-project"
  region     = "europe-west1"
  labels     = { environment = "production", owner = "platform" }
}

output "address" {
  description = "For DNS."
  value       = module.edge.address
}
