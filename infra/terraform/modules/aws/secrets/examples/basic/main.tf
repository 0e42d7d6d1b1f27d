# The edge's admin token, changed every month, and the application's database address, put by hand.

provider "aws" {
  region = "us-east-1"
  default_tags {
    tags = { Project = "thalweg", Environment = "production", ManagedBy = "terraform" }
  }
}

module "secrets" {
  source = "../.."

  name                 = "thalweg-production-us-east-1"
  permissions_boundary = "arn:aws:iam::111122223333:policy/thalweg-boundary"

  secrets = {
    thalweg-admin-token      = { kind = "token", description = "Bearer token for orders to the edges" }
    fastapi-app-database-url = { kind = "given", description = "DATABASE_URL of the application" }
  }
}
