# The cache of one production region.

provider "google" {
  project = "example-project"
  region  = "europe-west1"
}

module "cache" {
  source = "../.."

  project_id = "example-project"
  name       = "production-europe-west1"
  region     = "europe-west1"
  network    = "projects/example-project/global/networks/production-europe-west1"
  kms_key    = "projects/example-project/locations/europe-west1/keyRings/production/cryptoKeys/cache"
  labels     = { environment = "production", owner = "platform" }
}

output "host" {
  description = "Address of the cache inside the network."
  value       = module.cache.host
}
