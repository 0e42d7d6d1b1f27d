# The trail and the guards of production's account.

provider "aws" {
  region = "us-east-1"
  default_tags {
    tags = { Project = "thalweg", Environment = "production", ManagedBy = "terraform" }
  }
}

module "audit" {
  source = "../.."

  name                 = "thalweg-production"
  emails               = ["security@example.com"]
  permissions_boundary = "arn:aws:iam::111122223333:policy/thalweg-boundary"
}
