# A cache of three nodes.

provider "aws" {
  region = "us-east-1"
  default_tags {
    tags = { Project = "thalweg", Environment = "production", ManagedBy = "terraform" }
  }
}

module "elasticache" {
  source = "../.."

  name    = "thalweg-production-us-east-1"
  network = "vpc-0123456789abcdef0"
  subnets = ["subnet-0aaaaaaaaaaaaaaaa", "subnet-0bbbbbbbbbbbbbbbb", "subnet-0cccccccccccccccc"]
  clients = { nodes = "sg-0123456789abcdef0" }
}
