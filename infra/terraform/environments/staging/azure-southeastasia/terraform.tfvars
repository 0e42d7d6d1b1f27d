# Staging: production's shape at a smaller size. Ids are placeholders: they belong to your tenant.
environment       = "staging"
subscription_id   = "00000000-0000-0000-0000-000000000002"
owner             = "platform"
suffix            = "s1"
publisher         = "00000000-0000-0000-0000-0000000000c2"
backup_region     = "eastasia" # restores into another region are rehearsed here
registry_replicas = ["eastasia"]
cache_sku         = "Balanced_B3"
ddos_protection   = "VirtualNetworkInherited"

# Egress of the edges on AWS and Google Cloud: outputs of their folders.
edge_egress_cidrs = ["198.51.100.40/30", "198.51.100.44/30", "198.51.100.48/30", "203.0.113.40/30"]

groups = {
  cluster  = "00000000-0000-0000-0000-0000000000d2"
  database = { object_id = "00000000-0000-0000-0000-0000000000e2", name = "thalweg-staging-database" }
}

cluster = {
  kubernetes_version = "1.36"
  node_pools         = { apps = { vm_size = "Standard_D4ads_v5", min = 3, max = 6 } }
}

budget = { monthly_amount = 1500, emails = ["platform@example.com"], since = "2026-12" }
