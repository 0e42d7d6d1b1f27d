# The application of us-east-1, open to two edges.

provider "aws" {
  region = "us-east-1"
  default_tags {
    tags = { Project = "thalweg", Environment = "production", ManagedBy = "terraform" }
  }
}

module "origin" {
  source = "../.."

  name                = "thalweg-production-us-east-1"
  network             = "vpc-0123456789abcdef0"
  node_security_group = "sg-0123456789abcdef0"
  web_acl             = "arn:aws:wafv2:us-east-1:111122223333:regional/webacl/thalweg-production-us-east-1/11111111-2222-3333-4444-555555555555"
  edges = {
    gcp-europe-west1    = "192.0.2.10/32"
    azure-southeastasia = "198.51.100.10/32"
  }
}
