# The application reads the addresses of its stores, and nothing else.
path "secret/data/fastapi-app-database-url" {
  capabilities = ["read"]
}

path "secret/data/fastapi-app-redis-url" {
  capabilities = ["read"]
}
