# Production. Accounts, addresses and issuers are placeholders: they come from the outputs of the places.
environment = "production"
contact     = "security@example.com"
phone       = "+6560000000"
runbook     = "https://example.com/thalweg/RUNBOOK.md"
pager       = { operators = "operators@example.com" }

aws    = { account = "111122223333", unit = "ou-ab12-34567890" }
google = { project = "example-production" }
azure  = { subscription_id = "00000000-0000-0000-0000-000000000003" }
dns    = { zone = "example.com" }

edges = {
  aws-us-east-1       = { ipv4 = ["192.0.2.10", "192.0.2.11", "192.0.2.12"] }
  aws-eu-west-1       = { ipv4 = ["192.0.2.13", "192.0.2.14", "192.0.2.15"] }
  aws-ap-southeast-1  = { ipv4 = ["192.0.2.16", "192.0.2.17", "192.0.2.18"] }
  gcp-europe-west1    = { ipv4 = ["198.51.100.100"] }
  azure-southeastasia = { ipv4 = ["203.0.113.100"] }
}

clusters = {
  aws-us-east-1       = { issuer = "https://oidc.eks.us-east-1.amazonaws.com/id/00000000000000000000000000000003", hosts = ["api.us-east-1.aws.example.com"] }
  aws-eu-west-1       = { issuer = "https://oidc.eks.eu-west-1.amazonaws.com/id/00000000000000000000000000000013", hosts = ["api.eu-west-1.aws.example.com"] }
  aws-ap-southeast-1  = { issuer = "https://oidc.eks.ap-southeast-1.amazonaws.com/id/00000000000000000000000000000023", hosts = ["api.ap-southeast-1.aws.example.com"] }
  gcp-europe-west1    = { issuer = "https://container.googleapis.com/v1/projects/example-production/locations/europe-west1/clusters/thalweg-production", hosts = ["api.europe-west1.gcp.example.com"] }
  azure-southeastasia = { issuer = "https://southeastasia.oic.prod-aks.azure.com/00000000-0000-0000-0000-000000000003/", hosts = ["api.southeastasia.azure.example.com"] }
}
