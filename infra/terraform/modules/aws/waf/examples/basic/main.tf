# Rules for the application of us-east-1.

provider "aws" {
  region = "us-east-1"
  default_tags {
    tags = { Project = "thalweg", Environment = "production", ManagedBy = "terraform" }
  }
}

module "waf" {
  source = "../.."

  name = "thalweg-production-us-east-1"
}
