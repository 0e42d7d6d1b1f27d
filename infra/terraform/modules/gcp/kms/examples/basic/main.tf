# The keys of one production region.

provider "google" {
  project = "example-project"
  region  = "europe-west1"
}

module "keys" {
  source = "../.."

  project_id     = "example-project"
  project_number = 123456789012
  name           = "production-europe-west1"
  location       = "europe-west1"
  labels         = { environment = "production", owner = "platform" }

  keys = {
    cluster  = ["gke"]
    nodes    = ["compute"]
    database = ["sql"]
  }
}

output "keys" {
  description = "Ids of the keys by name."
  value       = module.keys.keys
}
