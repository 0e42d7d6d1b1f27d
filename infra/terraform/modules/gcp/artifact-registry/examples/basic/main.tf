# Images for the clusters of Europe.

provider "google" {
  project = "example-project"
  region  = "europe-west1"
}

locals {
  labels = { environment = "production", owner = "platform" }
}

module "keys" {
  source = "../../../kms"

  project_id     = "example-project"
  project_number = 123456789012
  name           = "production-images"
  location       = "europe"
  labels         = local.labels
  keys           = { images = ["artifact-registry"] }
}

module "images" {
  source = "../.."

  project_id = "example-project"
  kms_key    = module.keys.keys["images"]
  readers    = { nodes = "serviceAccount:production-europe-west1-node@example-project.iam.gserviceaccount.com" }
  writers    = { pipeline = "serviceAccount:pipeline@example-project.iam.gserviceaccount.com" }
  labels     = local.labels
}

output "url" {
  description = "Prefix of the images' names."
  value       = module.images.url
}
