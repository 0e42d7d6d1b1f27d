# Providers of what an environment has once over all clouds. Logins come from OIDC; AWS answers for DNS in us-east-1.
terraform {
  required_version = ">= 1.11"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 6.47"
    }
    azurerm = {
      source  = "hashicorp/azurerm"
      version = "~> 4.79"
    }
    google = {
      source  = "hashicorp/google"
      version = "~> 6.50"
    }
  }
}

provider "aws" {
  region              = "us-east-1"
  allowed_account_ids = [var.aws.account]
  default_tags {
    tags = { Project = "thalweg", Environment = var.environment, Place = "global", ManagedBy = "terraform" }
  }
}

provider "google" {
  project = var.google.project
}

provider "azurerm" {
  features {}
  subscription_id                 = var.azure.subscription_id
  resource_provider_registrations = "none"
}
