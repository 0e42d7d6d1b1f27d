# Versions, and where the state of staging lives: the bucket that bootstrap/gcp made. It locks natively, and its key
# and its versions are its own. `google ~> 6.50` is held by the offline kit alone.

terraform {
  required_version = ">= 1.11"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 6.50"
    }
    time = {
      source  = "hashicorp/time"
      version = "~> 0.13"
    }
  }

  backend "gcs" {
    bucket = "example-bootstrap-state-staging"
    prefix = "gcp-europe-west1"
  }
}
