# Staging in ap-southeast-1. Put your account and roles here; nothing in this file is secret.

account            = "111122223332"
kubernetes_version = "1.36"
compute            = "karpenter"
admins             = { platform = "arn:aws:iam::111122223332:role/platform" }
viewers            = { on-call = "arn:aws:iam::111122223332:role/on-call" }

# Outputs `egress_addresses` of the other AWS places, and what Google Cloud and Azure call theirs. Examples.
edges = {
  aws-us-east-1       = "192.0.2.11/32"
  aws-eu-west-1       = "192.0.2.21/32"
  gcp-europe-west1    = "198.51.100.11/32"
  azure-southeastasia = "203.0.113.11/32"
}

nat          = "per-zone"
system_nodes = { instance_types = ["t3.medium"], min = 3, max = 10 }
database     = { instance_class = "db.t4g.medium", multi_az = true, backup_days = 35, storage_gib = 20 }
cache        = { node_type = "cache.t4g.small", nodes = 3 }

waf_mode            = "block"
backup_lock         = "governance"
deletion_protection = true
