# The database of one production region.

provider "google" {
  project = "example-project"
  region  = "europe-west1"
}

module "database" {
  source = "../.."

  project_id       = "example-project"
  name             = "production-europe-west1"
  region           = "europe-west1"
  network          = "projects/example-project/global/networks/production-europe-west1"
  endpoints_subnet = "projects/example-project/regions/europe-west1/subnetworks/production-europe-west1-endpoints"
  kms_key          = "projects/example-project/locations/europe-west1/keyRings/production/cryptoKeys/database"
  users            = ["fastapi-app@example-project.iam"]
  backup_region    = "europe-west4"
  labels           = { environment = "production", owner = "platform" }

  replica = {
    region  = "europe-west4"
    kms_key = "projects/example-project/locations/europe-west4/keyRings/production-copy/cryptoKeys/database"
  }
}

output "host" {
  description = "Name of the database inside the network."
  value       = module.database.host
}
