# External Secrets reads the secrets of one environment.

provider "aws" {
  region = "us-east-1"
  default_tags {
    tags = { Project = "thalweg", Environment = "production", ManagedBy = "terraform" }
  }
}

module "iam" {
  source = "../.."

  cluster_name         = "thalweg-production-us-east-1"
  permissions_boundary = "arn:aws:iam::111122223333:policy/thalweg-boundary"

  workloads = {
    external-secrets = {
      namespace       = "external-secrets"
      service_account = "external-secrets"
      statements = jsonencode([{
        Effect   = "Allow"
        Action   = ["secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret"]
        Resource = "arn:aws:secretsmanager:us-east-1:111122223333:secret:thalweg/production/*"
      }])
    }
  }
}
