# The rules of a production unit, project and subscription.
provider "aws" {
  region = "us-east-1"
  default_tags {
    tags = { Project = "thalweg", Environment = "production", ManagedBy = "terraform" }
  }
}

provider "google" {
  project = "example-production"
}

provider "azurerm" {
  features {}
}

module "security" {
  source = "../.."
  name   = "thalweg-production"
  aws    = { target_id = "ou-ab12-34567890", regions = ["us-east-1", "eu-west-1", "ap-southeast-1"] }
  google = { project = "example-production", locations = ["in:europe-west1-locations", "in:asia-southeast1-locations"] }
  azure = {
    subscription_id = "00000000-0000-0000-0000-000000000003"
    locations       = ["southeastasia", "eastasia"]
    contact         = "security@example.com"
    phone           = "+6560000000"
  }
}
