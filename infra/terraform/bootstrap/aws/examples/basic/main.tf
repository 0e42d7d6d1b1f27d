# The account of production.

provider "aws" {
  region = "us-east-1"
  default_tags {
    tags = { Project = "thalweg", Environment = "production", ManagedBy = "terraform" }
  }
}

module "bootstrap" {
  source = "../.."

  environment = "production"
  repository  = "example/thalweg"
}
