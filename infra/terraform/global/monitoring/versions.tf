# Versions that this module is checked against; the root folder configures the providers.
terraform {
  required_version = ">= 1.11"
  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 6.50"
    }
    aws = {
      source  = "hashicorp/aws"
      version = "~> 6.47"
    }
  }
}
