# Three fixed addresses for the edges of us-east-1.

provider "aws" {
  region = "us-east-1"
  default_tags {
    tags = { Project = "thalweg", Environment = "production", ManagedBy = "terraform" }
  }
}

module "edge" {
  source = "../.."

  name                = "thalweg-production-us-east-1"
  network             = "vpc-0123456789abcdef0"
  node_security_group = "sg-0123456789abcdef0"
  subnets = {
    us-east-1a = "subnet-0aaaaaaaaaaaaaaaa"
    us-east-1b = "subnet-0bbbbbbbbbbbbbbbb"
    us-east-1c = "subnet-0cccccccccccccccc"
  }
}
