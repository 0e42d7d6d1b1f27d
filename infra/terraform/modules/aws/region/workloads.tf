# The roles of workloads: each reads its own secrets and no other's. The charts' service accounts name them in their
# annotation, from the output `roles`.

locals {
  reads = {
    thalweg-edge = { namespace = "edges", secrets = ["thalweg-admin-token"] }
    fastapi-app  = { namespace = "apps", secrets = concat(["fastapi-app-database-url"], var.cache == null ? [] : ["fastapi-app-redis-url"]) }
  }
  readers = {
    for name, workload in local.reads : name => {
      namespace       = workload.namespace
      service_account = name
      statements = jsonencode([
        { Effect = "Allow", Action = ["secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret"], Resource = [for secret in workload.secrets : module.secrets.arns[secret]] },
        { Effect = "Allow", Action = "kms:Decrypt", Resource = module.secrets.key },
      ])
    }
  }
  # Auto Mode has its own controller for balancers.
  balancers = var.compute == "auto" ? {} : {
    aws-load-balancer-controller = {
      namespace       = "kube-system"
      service_account = "aws-load-balancer-controller"
      statements      = jsonencode(local.load_balancers)
    }
  }
}

module "iam" {
  source = "../iam"

  cluster_name         = module.eks.name
  oidc                 = module.eks.oidc
  workloads            = merge(local.readers, local.balancers)
  permissions_boundary = var.permissions_boundary
}
