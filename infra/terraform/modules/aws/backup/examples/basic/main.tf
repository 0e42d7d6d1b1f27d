# Five weeks of daily copies, a second time in us-west-2.

provider "aws" {
  region = "us-east-1"
  default_tags {
    tags = { Project = "thalweg", Environment = "production", ManagedBy = "terraform" }
  }
}

module "backup" {
  source = "../.."

  name                 = "thalweg-production-us-east-1"
  copy_region          = "us-west-2"
  permissions_boundary = "arn:aws:iam::111122223333:policy/thalweg-boundary"
}
