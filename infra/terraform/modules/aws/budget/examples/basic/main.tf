# Two thousand dollars a month.

provider "aws" {
  region = "us-east-1"
  default_tags {
    tags = { Project = "thalweg", Environment = "production", ManagedBy = "terraform" }
  }
}

module "budget" {
  source = "../.."

  name        = "thalweg-production"
  monthly_usd = 2000
  emails      = ["platform@example.com"]
}
