# The two images, copied to two regions.

provider "aws" {
  region = "us-east-1"
  default_tags {
    tags = { Project = "thalweg", Environment = "production", ManagedBy = "terraform" }
  }
}

module "ecr" {
  source = "../.."

  permissions_boundary = "arn:aws:iam::111122223333:policy/thalweg-boundary"
}
