# Vault for those who want one store of secrets in every cloud (externalSecret.provider: vault). Three servers with Raft, sealed
# by a key in KMS, TLS everywhere. Names are examples. The certificate is cert-manager's. Audit devices, policies: README.md.
ui            = true
cluster_name  = "thalweg"
api_addr      = "https://vault.example.com:8200"
cluster_addr  = "https://vault-0.vault.example.com:8201"
# With Raft the kernel would lock its memory-mapped file, too; swap is off on the nodes instead.
disable_mlock = true
log_level     = "info"

storage "raft" {
  path    = "/vault/data"
  node_id = "vault-0"

  retry_join {
    leader_api_addr         = "https://vault-1.vault.example.com:8200"
    leader_ca_cert_file     = "/vault/tls/ca.crt"
    leader_client_cert_file = "/vault/tls/tls.crt"
    leader_client_key_file  = "/vault/tls/tls.key"
  }
  retry_join {
    leader_api_addr         = "https://vault-2.vault.example.com:8200"
    leader_ca_cert_file     = "/vault/tls/ca.crt"
    leader_client_cert_file = "/vault/tls/tls.crt"
    leader_client_key_file  = "/vault/tls/tls.key"
  }
}

listener "tcp" {
  address            = "0.0.0.0:8200"
  cluster_address    = "0.0.0.0:8201"
  tls_cert_file      = "/vault/tls/tls.crt"
  tls_key_file       = "/vault/tls/tls.key"
  tls_min_version    = "tls13"
  tls_disable        = false
  # The listener's own metrics, for Prometheus with a token.
  telemetry {
    unauthenticated_metrics_access = false
  }
}

# Credentials are the pod's own identity (IRSA or Pod Identity): none is written here.
seal "awskms" {
  region     = "us-east-1"
  kms_key_id = "alias/thalweg-vault"
}
