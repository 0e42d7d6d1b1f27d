# Trust policies of workload roles, and the rights that are refused.

mock_provider "aws" {
  source = "../../../mocks/aws"
}

variables {
  cluster_name         = "thalweg-test"
  permissions_boundary = "arn:aws:iam::111122223333:policy/thalweg-boundary"
  workloads = {
    reader = {
      namespace        = "apps"
      service_account  = "reader"
      managed_policies = ["arn:aws:iam::aws:policy/AmazonSSMReadOnlyAccess"]
      statements       = "[{\"Effect\":\"Allow\",\"Action\":\"s3:GetObject\",\"Resource\":\"arn:aws:s3:::b/*\"}]"
    }
  }
}

run "a_role_is_bound_to_one_cluster" {
  assert {
    condition     = jsondecode(aws_iam_role.this["reader"].assume_role_policy).Statement[0].Condition.ArnEquals["aws:SourceArn"] == "arn:aws:eks:us-east-1:111122223333:cluster/thalweg-test"
    error_message = "Only pods of this cluster take the role on."
  }
  assert {
    condition     = aws_iam_role.this["reader"].permissions_boundary == var.permissions_boundary
    error_message = "A role has the boundary."
  }
  assert {
    condition     = aws_eks_pod_identity_association.this["reader"].service_account == "reader" && length(aws_iam_role_policy_attachment.this) == 1
    error_message = "The service account and the managed policy are those that were named."
  }
}

run "wrong_cluster_is_refused" {
  command = plan
  variables {
    cluster_name = "My_Cluster"
  }
  expect_failures = [var.cluster_name]
}

run "statements_that_are_no_list_are_refused" {
  command = plan
  variables {
    workloads = { reader = { namespace = "apps", service_account = "reader", statements = "s3:*" } }
  }
  expect_failures = [var.workloads]
}

run "a_workload_without_rights_is_refused" {
  command = plan
  variables {
    workloads = { reader = { namespace = "apps", service_account = "reader" } }
  }
  expect_failures = [var.workloads]
}

run "an_administrator_is_refused" {
  command = plan
  variables {
    workloads = { reader = { namespace = "apps", service_account = "reader", managed_policies = ["arn:aws:iam::aws:policy/AdministratorAccess"] } }
  }
  expect_failures = [var.workloads]
}

run "wrong_boundary_is_refused" {
  command = plan
  variables {
    permissions_boundary = "boundary"
  }
  expect_failures = [var.permissions_boundary]
}

run "by_token_the_same_service_account" {
  variables {
    oidc = { arn = "arn:aws:iam::111122223333:oidc-provider/oidc.example/id/1", issuer = "https://oidc.example/id/1" }
  }
  assert {
    condition     = jsondecode(aws_iam_role.this["reader"].assume_role_policy).Statement[1].Condition.StringEquals["oidc.example/id/1:sub"] == "system:serviceaccount:apps:reader"
    error_message = "A token takes the role on for its own service account only."
  }
}

run "wrong_issuer_is_refused" {
  command = plan
  variables {
    oidc = { arn = "arn:aws:iam::111122223333:oidc-provider/x", issuer = "oidc.example" }
  }
  expect_failures = [var.oidc]
}
