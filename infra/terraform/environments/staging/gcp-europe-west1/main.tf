# Google Cloud, europe-west1, staging: like production, with fewer and smaller nodes.

provider "google" {
  project = var.project_id
  region  = "europe-west1"
}

# The API of budgets counts calls against a project.
provider "google" {
  alias                 = "billing"
  project               = var.project_id
  billing_project       = var.project_id
  user_project_override = true
}

module "budget" {
  source    = "../../../modules/gcp/budget"
  providers = { google = google.billing }

  project_id      = var.project_id
  project_number  = var.project_number
  name            = "staging"
  billing_account = var.budget.billing_account
  monthly_amount  = var.budget.monthly_amount
  currency        = var.budget.currency
  emails          = var.budget.emails
  labels          = { project = "thalweg", environment = "staging", owner = "platform", managed-by = "terraform" }
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
