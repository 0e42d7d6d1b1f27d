# Staging. Accounts, addresses and issuers are placeholders: they come from the outputs of the places.
environment = "staging"
contact     = "security@example.com"
phone       = "+6560000000"
runbook     = "https://example.com/thalweg/RUNBOOK.md"
pager       = { operators = "operators@example.com" }

aws    = { account = "111122223332" }
google = { project = "example-staging" }
azure  = { subscription_id = "00000000-0000-0000-0000-000000000002" }
dns    = { zone = "staging.example.com" }

edges = {
  aws-us-east-1       = { ipv4 = ["192.0.2.50", "192.0.2.51", "192.0.2.52"] }
  aws-eu-west-1       = { ipv4 = ["192.0.2.53", "192.0.2.54", "192.0.2.55"] }
  aws-ap-southeast-1  = { ipv4 = ["192.0.2.56", "192.0.2.57", "192.0.2.58"] }
  gcp-europe-west1    = { ipv4 = ["198.51.100.140"] }
  azure-southeastasia = { ipv4 = ["203.0.113.140"] }
}

clusters = {
  aws-us-east-1       = { issuer = "https://oidc.eks.us-east-1.amazonaws.com/id/00000000000000000000000000000002", hosts = ["api.us-east-1.aws.staging.example.com"] }
  aws-eu-west-1       = { issuer = "https://oidc.eks.eu-west-1.amazonaws.com/id/00000000000000000000000000000012", hosts = ["api.eu-west-1.aws.staging.example.com"] }
  aws-ap-southeast-1  = { issuer = "https://oidc.eks.ap-southeast-1.amazonaws.com/id/00000000000000000000000000000022", hosts = ["api.ap-southeast-1.aws.staging.example.com"] }
  gcp-europe-west1    = { issuer = "https://container.googleapis.com/v1/projects/example-staging/locations/europe-west1/clusters/thalweg-staging", hosts = ["api.europe-west1.gcp.staging.example.com"] }
  azure-southeastasia = { issuer = "https://southeastasia.oic.prod-aks.azure.com/00000000-0000-0000-0000-000000000002/", hosts = ["api.southeastasia.azure.staging.example.com"] }
}
