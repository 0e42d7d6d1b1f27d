# Google Cloud, europe-west1, staging: like production, with fewer and smaller nodes.

provider "google" {
  project = var.project_id
  region  = "europe-west1"
}

module "region" {
  source = "../../../modules/gcp/region"

  project_id     = var.project_id
  project_number = var.project_number
  environment    = "staging"
  region         = "europe-west1"
  zones          = ["europe-west1-b", "europe-west1-c", "europe-west1-d"]
  backup_region  = "europe-west4"
  addresses      = jsondecode(file("${path.module}/../../../addresses.json"))["staging"]["gcp-europe-west1"]
  other_edges    = var.other_edges
  image_writers  = { pipeline = var.pipeline }
  mirrors        = var.mirrors

  # The pipeline comes from outside; IAM decides over each call.
  cluster  = { external_api = true, nodes = { machine_type = "e2-standard-2", max = 6 } }
  database = { retained = 7, copy = false }
}
