# A domain for the logs of us-east-1.

provider "aws" {
  region = "us-east-1"
  default_tags {
    tags = { Project = "thalweg", Environment = "production", ManagedBy = "terraform" }
  }
}

module "opensearch" {
  source = "../.."

  name          = "thalweg-production"
  network       = "vpc-0123456789abcdef0"
  subnets       = ["subnet-0aaaaaaaaaaaaaaaa", "subnet-0bbbbbbbbbbbbbbbb", "subnet-0cccccccccccccccc"]
  clients       = { nodes = "sg-0123456789abcdef0" }
  administrator = "arn:aws:iam::111122223333:role/platform"
}
