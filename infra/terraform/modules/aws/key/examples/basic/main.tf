# A key for the log groups of one region.

provider "aws" {
  region = "us-east-1"
  default_tags {
    tags = { Project = "thalweg", Environment = "development", ManagedBy = "terraform" }
  }
}

module "key" {
  source = "../.."

  name        = "thalweg-development-logs"
  description = "Log groups of the development environment"
  services    = ["logs.us-east-1.amazonaws.com"]
}
