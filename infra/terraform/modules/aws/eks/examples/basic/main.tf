# A production cluster, reached from its own network only.

provider "aws" {
  region = "us-east-1"
  default_tags {
    tags = { Project = "thalweg", Environment = "production", ManagedBy = "terraform" }
  }
}

module "eks" {
  source = "../.."

  name          = "thalweg-production-us-east-1"
  network       = "vpc-0123456789abcdef0"
  subnets       = ["subnet-0aaaaaaaaaaaaaaaa", "subnet-0bbbbbbbbbbbbbbbb", "subnet-0cccccccccccccccc"]
  services_cidr = "172.20.0.0/20"
  admins        = { platform = "arn:aws:iam::111122223333:role/platform" }
  api_clients   = ["10.10.0.0/16"]

  permissions_boundary = "arn:aws:iam::111122223333:policy/thalweg-boundary"
}
