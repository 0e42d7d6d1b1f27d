# A production region, with edges in two other clouds.

provider "google" {
  project = "example-production"
  region  = "europe-west1"
}

module "region" {
  source = "../.."

  project_id     = "example-production"
  project_number = 123456789012
  environment    = "production"
  region         = "europe-west1"
  zones          = ["europe-west1-b", "europe-west1-c", "europe-west1-d"]
  backup_region  = "europe-west4"
  addresses      = { network = "10.20.0.0/16", pods = "100.64.0.0/17", services = "100.64.128.0/20" }
  other_edges    = ["192.0.2.1/32", "198.51.100.1/32"]
  image_writers  = { pipeline = "serviceAccount:pipeline@example-bootstrap.iam.gserviceaccount.com" }
}

output "edge_address" {
  description = "For DNS."
  value       = module.region.edge_address
}
