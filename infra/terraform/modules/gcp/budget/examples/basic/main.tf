# The budget of a development project.

provider "google" {
  project               = "example-development"
  region                = "europe-west1"
  billing_project       = "example-development"
  user_project_override = true
}

module "budget" {
  source = "../.."

  project_id      = "example-development"
  project_number  = 123456789012
  billing_account = "012345-6789AB-CDEF01"
  name            = "development"
  monthly_amount  = 500
  emails          = ["platform@example.com"]
  labels          = { environment = "development", owner = "platform" }
}
