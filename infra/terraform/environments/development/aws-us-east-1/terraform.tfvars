# Development in us-east-1. Put your account and roles here; nothing in this file is secret.

account            = "111122223331"
kubernetes_version = "1.37"
compute            = "karpenter"
admins             = { platform = "arn:aws:iam::111122223331:role/platform" }
viewers            = { on-call = "arn:aws:iam::111122223331:role/on-call" }

# Outputs `egress_addresses` of the other AWS places, and what Google Cloud and Azure call theirs. Examples.
edges = {
  aws-eu-west-1       = "192.0.2.21/32"
  aws-ap-southeast-1  = "192.0.2.31/32"
  gcp-europe-west1    = "198.51.100.11/32"
  azure-southeastasia = "203.0.113.11/32"
}

nat          = "single"
system_nodes = { instance_types = ["t3.medium"], min = 2, max = 4 }
database     = { instance_class = "db.t4g.medium", multi_az = false, backup_days = 7, storage_gib = 20 }
cache        = { node_type = "cache.t4g.small", nodes = 2 }

waf_mode            = "count"
backup_lock         = "governance"
deletion_protection = false
