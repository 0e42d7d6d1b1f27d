# One name, three addresses.
provider "aws" {
  region = "us-east-1"
  default_tags {
    tags = { Project = "thalweg", Environment = "production", ManagedBy = "terraform" }
  }
}

provider "google" {
  project = "example-production"
}

module "monitoring" {
  source  = "../.."
  name    = "thalweg-production"
  project = "example-production"
  hosts   = ["api.example.com"]
  pager   = { operators = "operators@example.com" }
  runbook = "https://example.com/thalweg/RUNBOOK.md"
  health_checks = {
    aws-us-east-1-a-0       = "00000000-0000-0000-0000-000000000001"
    gcp-europe-west1-a-0    = "00000000-0000-0000-0000-000000000002"
    azure-southeastasia-a-0 = "00000000-0000-0000-0000-000000000003"
  }
}
