# Production in us-east-1, with a database and a cache.

provider "aws" {
  region = "us-east-1"
  default_tags {
    tags = { Project = "thalweg", Environment = "production", ManagedBy = "terraform" }
  }
}

module "region" {
  source = "../.."

  name               = "thalweg-production-us-east-1"
  addresses          = { network = "10.10.0.0/16", services = "172.20.0.0/20" }
  zones              = ["us-east-1a", "us-east-1b", "us-east-1c"]
  kubernetes_version = "1.36"
  admins             = { platform = "arn:aws:iam::111122223333:role/platform" }
  database           = { instance_class = "db.m7g.large", multi_az = true }
  cache              = { node_type = "cache.m7g.large" }
  copy_region        = "us-west-2"
  edges              = { gcp-europe-west1 = "192.0.2.10/32" }

  permissions_boundary = "arn:aws:iam::111122223333:policy/thalweg-boundary"
}

output "edge_values" {
  value = module.region.edge_values
}

output "app_values" {
  value = module.region.app_values
}
