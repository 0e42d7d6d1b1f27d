# Three edges in three clouds behind one name: an answer holds all that are healthy.
provider "aws" {
  region = "us-east-1"
  default_tags {
    tags = { Project = "thalweg", Environment = "production", ManagedBy = "terraform" }
  }
}

module "dns" {
  source              = "../.."
  zone                = "example.com"
  certificate_contact = "security@example.com"
  edges = {
    aws-us-east-1       = { ipv4 = ["192.0.2.10", "192.0.2.11", "192.0.2.12"] }
    gcp-europe-west1    = { ipv4 = ["198.51.100.10"], ipv6 = ["2001:db8:1::10"] }
    azure-southeastasia = { ipv4 = ["203.0.113.10"] }
  }
}
