# The bootstrap of two environments, each in a project of its own.

provider "google" {
  project = "example-bootstrap"
  region  = "europe-west1"
}

provider "google-beta" {
  project = "example-bootstrap"
  region  = "europe-west1"
}

module "bootstrap" {
  source = "../.."

  project_id = "example-bootstrap"
  repository = { name = "example/thalweg", id = 123456789 }

  environments = {
    development = { project_id = "example-development" }
    production  = { project_id = "example-production" }
  }
}

output "state_buckets" {
  description = "For the environments' backends."
  value       = module.bootstrap.state_buckets
}
