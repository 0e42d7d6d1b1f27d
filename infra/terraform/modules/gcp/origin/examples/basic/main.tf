# The way to the application of one region, open to the edges of three clouds.

provider "google" {
  project = "example-project"
  region  = "europe-west1"
}

module "origin" {
  source = "../.."

  project_id = "example-project"
  region     = "europe-west1"
  edges      = ["192.0.2.1/32", "192.0.2.2/32", "198.51.100.1/32", "203.0.113.1/32"]
  labels     = { environment = "production", owner = "platform" }
}

output "addresses" {
  description = "For DNS."
  value       = module.origin.addresses
}
