# A database in two zones, with its copy in us-west-2.

provider "aws" {
  region = "us-east-1"
  default_tags {
    tags = { Project = "thalweg", Environment = "production", ManagedBy = "terraform" }
  }
}

module "rds" {
  source = "../.."

  name                 = "thalweg-production-us-east-1"
  network              = "vpc-0123456789abcdef0"
  subnets              = ["subnet-0aaaaaaaaaaaaaaaa", "subnet-0bbbbbbbbbbbbbbbb", "subnet-0cccccccccccccccc"]
  clients              = { nodes = "sg-0123456789abcdef0" }
  copy_region          = "us-west-2"
  permissions_boundary = "arn:aws:iam::111122223333:policy/thalweg-boundary"
}
