# The account of production.

provider "aws" {
  region = "us-east-1"
  default_tags {
    tags = { Project = "thalweg", Environment = "production", ManagedBy = "terraform" }
  }
}

module "account" {
  source = "../.."

  environment          = "production"
  regions              = ["us-east-1", "eu-west-1", "ap-southeast-1"]
  monthly_usd          = 6000
  cost_emails          = ["platform@example.com"]
  security_emails      = ["security@example.com"]
  permissions_boundary = "arn:aws:iam::111122223333:policy/thalweg-boundary"
}
