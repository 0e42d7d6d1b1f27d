# Versions this module is written for. `google ~> 6.50` is held by the offline kit alone, which has recorded that line:
# nothing here needs it to stay below 7.

terraform {
  required_version = ">= 1.11"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 6.50"
    }
  }
}
