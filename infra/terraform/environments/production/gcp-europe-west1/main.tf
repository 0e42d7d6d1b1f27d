# Google Cloud, europe-west1, production.

provider "google" {
  project = var.project_id
  region  = "europe-west1"
}

module "region" {
  source = "../../../modules/gcp/region"

  project_id     = var.project_id
  project_number = var.project_number
  environment    = "production"
  region         = "europe-west1"
  zones          = ["europe-west1-b", "europe-west1-c", "europe-west1-d"]
  backup_region  = "europe-west4"
  addresses      = jsondecode(file("${path.module}/../../../addresses.json"))["production"]["gcp-europe-west1"]
  other_edges    = var.other_edges
  image_writers  = { pipeline = var.pipeline }
  mirrors        = var.mirrors

  # The pipeline comes from outside; IAM decides over each call.
  cluster  = { channel = "STABLE", version = "1.35", external_api = true }
  database = { tier = "db-custom-4-15360", disk_gb = 100 }
  cache    = { node_type = "HIGHMEM_MEDIUM", replicas = 2 }
}
