# The parts of a region fit together, and wrong values are refused.

mock_provider "aws" {
  source = "../../../mocks/aws"
}

mock_provider "archive" {}

variables {
  name               = "thalweg-production-us-east-1"
  addresses          = { network = "10.10.0.0/16", services = "172.20.0.0/20" }
  zones              = ["us-east-1a", "us-east-1b", "us-east-1c"]
  kubernetes_version = "1.36"
  admins             = { platform = "arn:aws:iam::111122223333:role/platform" }
  database           = { instance_class = "db.m7g.large", multi_az = true }
  cache              = { node_type = "cache.m7g.large" }
  copy_region        = "us-west-2"

  permissions_boundary = "arn:aws:iam::111122223333:policy/thalweg-boundary"
}

run "rights_are_narrow" {
  command = plan
  assert {
    condition     = local.reads["thalweg-edge"].namespace == "edges" && local.reads["fastapi-app"].namespace == "apps"
    error_message = "Namespaces are those of GitOps and the runbook."
  }
  assert {
    condition     = length(local.reads["thalweg-edge"].secrets) == 1 && length(local.reads["fastapi-app"].secrets) == 2
    error_message = "The edge reads its token; the application its two addresses."
  }
  assert {
    condition = alltrue([
      for statement in local.load_balancers : statement.Condition.StringEquals["aws:ResourceTag/elbv2.k8s.aws/cluster"] == "thalweg-production-us-east-1"
      if contains(flatten([statement.Action]), "elasticloadbalancing:DeleteLoadBalancer")
    ])
    error_message = "Another cluster's balancers are not this controller's."
  }
  assert {
    condition     = !strcontains(jsonencode(local.load_balancers), "AuthorizeSecurityGroupIngress")
    error_message = "No controller opens a security group."
  }
}

run "auto_mode_without_stores" {
  command = plan
  variables {
    compute  = "auto"
    database = null
    cache    = null
  }
  assert {
    condition     = !contains(keys(merge(local.readers, local.balancers)), "aws-load-balancer-controller") && output.karpenter.interruption_queue == null
    error_message = "Balancers and nodes are Auto Mode's own."
  }
  assert {
    condition     = output.stores.database == null && output.stores.cache == null && output.stores.opensearch == null
    error_message = "A region without stores has none."
  }
}

run "wrong_name_is_refused" {
  command = plan
  variables {
    name = "production-us"
  }
  expect_failures = [var.name]
}

run "a_copy_in_the_same_region_is_refused" {
  command = plan
  variables {
    copy_region = "us-east-1"
  }
  expect_failures = [var.copy_region]
}

run "wrong_boundary_is_refused" {
  command = plan
  variables {
    permissions_boundary = "boundary"
  }
  expect_failures = [var.permissions_boundary]
}
