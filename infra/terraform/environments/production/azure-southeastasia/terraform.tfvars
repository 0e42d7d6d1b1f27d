# Production. Ids are placeholders: they belong to your tenant.
environment           = "production"
subscription_id       = "00000000-0000-0000-0000-000000000003"
owner                 = "platform"
suffix                = "p1"
publisher             = "00000000-0000-0000-0000-0000000000c3"
backup_region         = "eastasia"
registry_replicas     = ["eastasia"]
log_retention_in_days = 365
cache_sku             = "Balanced_B10"

# Egress of the edges on AWS and Google Cloud: outputs of their folders.
edge_egress_cidrs = ["198.51.100.8/30", "198.51.100.12/30", "198.51.100.16/30", "203.0.113.8/30"]

groups = {
  cluster  = "00000000-0000-0000-0000-0000000000d3"
  database = { object_id = "00000000-0000-0000-0000-0000000000e3", name = "thalweg-production-database" }
}

cluster = {
  kubernetes_version = "1.36"
  node_pools = {
    apps  = { vm_size = "Standard_D4ads_v5", min = 3, max = 12 }
    edges = { vm_size = "Standard_D4ads_v5", min = 3, max = 6, labels = { "thalweg/role" = "edge" } }
  }
}

database = { size = { sku = "GP_Standard_D4ads_v5", storage_gb = 256 } }

budget = { monthly_amount = 6000, emails = ["platform@example.com"], since = "2026-12" }
