# Versions this module is written for. `google ~> 6.50` is held by the offline kit alone, which has recorded that line:
# nothing here needs it to stay below 7. google-beta makes service agents and nothing else: google has no such resource.

terraform {
  required_version = ">= 1.11"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 6.50"
    }
    google-beta = {
      source  = "hashicorp/google-beta"
      version = "~> 6.50"
    }
  }
}
