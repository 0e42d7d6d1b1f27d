# Five weeks of daily copies, a second time in eu-west-1.

provider "aws" {
  region = "us-east-1"
  default_tags {
    tags = { Project = "thalweg", Environment = "production", ManagedBy = "terraform" }
  }
}

module "backup" {
  source = "../.."

  name                 = "thalweg-production-us-east-1"
  copy_region          = "eu-west-1"
  permissions_boundary = "arn:aws:iam::111122223333:policy/thalweg-boundary"
}
