# Three clusters in three clouds, each for the edges' name and its own region's.
provider "aws" {
  region = "us-east-1"
  default_tags {
    tags = { Project = "thalweg", Environment = "production", ManagedBy = "terraform" }
  }
}

module "certificates" {
  source  = "../.."
  zone_id = "Z0123456789ABCDEFGHIJ"
  hosts   = ["api.example.com", "api.us-east-1.aws.example.com", "api.europe-west1.gcp.example.com", "api.southeastasia.azure.example.com"]
  clusters = {
    aws-us-east-1       = { issuer = "https://oidc.eks.us-east-1.amazonaws.com/id/0123456789ABCDEF0123456789ABCDEF", hosts = ["api.example.com", "api.us-east-1.aws.example.com"] }
    gcp-europe-west1    = { issuer = "https://container.googleapis.com/v1/projects/example/locations/europe-west1/clusters/thalweg-production", hosts = ["api.example.com", "api.europe-west1.gcp.example.com"] }
    azure-southeastasia = { issuer = "https://southeastasia.oic.prod-aks.azure.com/00000000-0000-0000-0000-000000000000/", hosts = ["api.example.com", "api.southeastasia.azure.example.com"] }
  }
}
