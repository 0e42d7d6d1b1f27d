# Production's account: what it has once.

provider "aws" {
  region              = "us-east-1"
  allowed_account_ids = [var.account]
  default_tags {
    tags = {
      Project     = "thalweg"
      Environment = "production"
      Place       = "aws-account"
      ManagedBy   = "terraform"
    }
  }
}

module "account" {
  source = "../../../modules/aws/account"

  environment          = "production"
  regions              = ["ap-southeast-1", "eu-west-1", "us-east-1"]
  monthly_usd          = var.monthly_usd
  cost_emails          = var.cost_emails
  security_emails      = var.security_emails
  permissions_boundary = "arn:aws:iam::${var.account}:policy/thalweg-boundary"
}
