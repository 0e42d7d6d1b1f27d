# Versions, provider, and where the state lives. OpenTofu takes the provider from its own registry under the same name.
# `google ~> 6.50` is held by the offline kit alone.

terraform {
  required_version = ">= 1.11"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 6.50"
    }
  }

  # Google's backend locks natively, with an object beside the state.
  backend "gcs" {
    bucket = "example-bootstrap-state-development"
    prefix = "kubeadm"
  }
}

provider "google" {
  project = var.project_id
  region  = join("-", slice(split("-", var.zone), 0, 2))
}
