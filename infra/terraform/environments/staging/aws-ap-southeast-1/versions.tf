# Versions, and where the state is kept.

terraform {
  required_version = ">= 1.11"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 6.47"
    }
  }
  # The bucket is bootstrap's: terraform init -backend-config=bucket=...
  backend "s3" {
    key          = "staging/aws-ap-southeast-1.tfstate"
    region       = "us-east-1"
    encrypt      = true
    use_lockfile = true
  }
}
