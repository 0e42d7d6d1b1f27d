# A production network in us-east-1.

provider "aws" {
  region = "us-east-1"
  default_tags {
    tags = { Project = "thalweg", Environment = "production", ManagedBy = "terraform" }
  }
}

module "network" {
  source = "../.."

  name  = "thalweg-production-us-east-1"
  cidr  = "10.10.0.0/16"
  zones = ["us-east-1a", "us-east-1b", "us-east-1c"]

  permissions_boundary = "arn:aws:iam::111122223333:policy/thalweg-boundary"
}
