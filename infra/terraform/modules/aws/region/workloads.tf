# The roles of workloads: each reads its own secrets and no other's. The charts' service accounts name them in their
# annotation, from the output `roles`.

locals {
  reads = {
    thalweg-edge = { namespace = "edges", secrets = [module.secrets.arns["thalweg-admin-token"]], keys = [module.secrets.key] }
    fastapi-app = {
      namespace = "apps"
      secrets   = concat([module.secrets.arns["fastapi-app-database-url"]], module.elasticache[*].secret.arn)
      keys      = concat([module.secrets.key], module.elasticache[*].secret.key)
    }
  }
  readers = {
    for name, workload in local.reads : name => {
      namespace       = workload.namespace
      service_account = name
      statements = jsonencode([
        { Effect = "Allow", Action = ["secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret"], Resource = workload.secrets },
        { Effect = "Allow", Action = "kms:Decrypt", Resource = workload.keys },
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
