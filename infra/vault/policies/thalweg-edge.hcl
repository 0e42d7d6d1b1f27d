# The edges read the admin token, and nothing else.
path "secret/data/thalweg-admin-token" {
  capabilities = ["read"]
}
