# Development. Accounts, addresses and issuers are placeholders: they come from the outputs of the places.
environment = "development"
contact     = "security@example.com"
phone       = "+6560000000"
runbook     = "https://example.com/thalweg/RUNBOOK.md"
pager       = { operators = "operators@example.com" }

aws    = { account = "111122223331" }
google = { project = "example-development" }
azure  = { subscription_id = "00000000-0000-0000-0000-000000000001" }
dns    = { zone = "development.example.com" }

edges = {
  aws-us-east-1       = { ipv4 = ["192.0.2.90", "192.0.2.91", "192.0.2.92"] }
  aws-eu-west-1       = { ipv4 = ["192.0.2.93", "192.0.2.94", "192.0.2.95"] }
  aws-ap-southeast-1  = { ipv4 = ["192.0.2.96", "192.0.2.97", "192.0.2.98"] }
  gcp-europe-west1    = { ipv4 = ["198.51.100.180"] }
  azure-southeastasia = { ipv4 = ["203.0.113.180"] }
}

clusters = {
  aws-us-east-1       = { issuer = "https://oidc.eks.us-east-1.amazonaws.com/id/00000000000000000000000000000001", hosts = ["api.us-east-1.aws.development.example.com"] }
  aws-eu-west-1       = { issuer = "https://oidc.eks.eu-west-1.amazonaws.com/id/00000000000000000000000000000011", hosts = ["api.eu-west-1.aws.development.example.com"] }
  aws-ap-southeast-1  = { issuer = "https://oidc.eks.ap-southeast-1.amazonaws.com/id/00000000000000000000000000000021", hosts = ["api.ap-southeast-1.aws.development.example.com"] }
  gcp-europe-west1    = { issuer = "https://container.googleapis.com/v1/projects/example-development/locations/europe-west1/clusters/thalweg-development", hosts = ["api.europe-west1.gcp.development.example.com"] }
  azure-southeastasia = { issuer = "https://southeastasia.oic.prod-aks.azure.com/00000000-0000-0000-0000-000000000001/", hosts = ["api.southeastasia.azure.development.example.com"] }
}
