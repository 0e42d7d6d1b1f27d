# Development: one pool, spot nodes for what may vanish, a week of backups, no copy of images, no locks. Ids are
# placeholders: they belong to your tenant.
environment         = "development"
subscription_id     = "00000000-0000-0000-0000-000000000001"
owner               = "platform"
suffix              = "d1"
publisher           = "00000000-0000-0000-0000-0000000000c1"
backup_region       = "eastasia"
cache_sku           = "Balanced_B1"
ddos_protection     = "VirtualNetworkInherited"
deletion_protection = false

# Egress of the edges on AWS and Google Cloud: outputs of their folders.
edge_egress_cidrs = ["198.51.100.72/30", "198.51.100.76/30", "198.51.100.80/30", "203.0.113.72/30"]

groups = {
  cluster  = "00000000-0000-0000-0000-0000000000d1"
  database = { object_id = "00000000-0000-0000-0000-0000000000e1", name = "thalweg-development-database" }
}

# The next minor meets the charts here first.
cluster = {
  kubernetes_version = "1.37"
  paid_sla           = false
  node_pools = {
    apps = { vm_size = "Standard_D2ads_v5", min = 3, max = 5 }
    spot = { vm_size = "Standard_D4ads_v5", min = 0, max = 5, spot = true }
  }
}

database = { retention_in_days = 7 }

budget = { monthly_amount = 500, emails = ["platform@example.com"], since = "2026-12" }
