# The state is safe, the roles are bound, and wrong values are refused.

mock_provider "aws" {
  source = "../../mocks/aws"
}

variables {
  environment = "staging"
  repository  = "example/thalweg"
}

run "state_is_versioned_encrypted_private_and_copied" {
  command = plan
  assert {
    condition     = alltrue([for bucket in aws_s3_bucket_versioning.state : bucket.versioning_configuration[0].status == "Enabled"])
    error_message = "An overwritten state can be had back."
  }
  assert {
    condition     = alltrue([for bucket in aws_s3_bucket_server_side_encryption_configuration.state : anytrue([for rule in bucket.rule : rule.apply_server_side_encryption_by_default[0].sse_algorithm == "aws:kms"])])
    error_message = "The state is encrypted under a customer key."
  }
  assert {
    condition     = alltrue([for policy in aws_s3_bucket_policy.state : strcontains(policy.policy, "aws:SecureTransport")])
    error_message = "The state travels over TLS only."
  }
  assert {
    condition     = aws_s3_bucket.state["copy"].region == "eu-west-1"
    error_message = "A copy lies in another region."
  }
}

run "roles_trust_one_repository_in_one_environment" {
  command = plan
  override_resource {
    target          = aws_iam_openid_connect_provider.github
    values          = { arn = "arn:aws:iam::111122223333:oidc-provider/token.actions.githubusercontent.com" }
    override_during = plan
  }
  assert {
    condition     = jsondecode(aws_iam_role.provisioner.assume_role_policy).Statement[0].Condition.StringEquals["token.actions.githubusercontent.com:sub"] == "repo:example/thalweg:environment:staging"
    error_message = "Only the protected environment applies."
  }
  assert {
    condition     = jsondecode(aws_iam_role.plan.assume_role_policy).Statement[0].Condition.StringEquals["token.actions.githubusercontent.com:sub"] == "repo:example/thalweg:environment:staging-plan"
    error_message = "A plan is another identity."
  }
  assert {
    condition     = aws_iam_role.provisioner.name == "terraform-provisioner" && aws_iam_openid_connect_provider.github.client_id_list == toset(["sts.amazonaws.com"])
    error_message = "The role has the name that others rely on."
  }
}

run "the_provisioner_makes_bounded_roles_only" {
  command = plan
  assert {
    condition = alltrue([
      for statement in local.provision : try(statement.Condition.StringEquals["iam:PermissionsBoundary"], "") == "arn:aws:iam::111122223333:policy/thalweg-boundary"
      if anytrue([for action in flatten([statement.Action]) : contains(["iam:CreateRole", "iam:PutRolePolicy", "iam:AttachRolePolicy", "iam:PutRolePermissionsBoundary"], action)])
    ])
    error_message = "A role without the boundary cannot be made, nor be given rights."
  }
  assert {
    condition     = length([for statement in local.provision : statement if contains(flatten([statement.Action]), "iam:CreateRole")]) == 1
    error_message = "Roles can be made at all."
  }
  assert {
    condition     = alltrue([for statement in local.provision : !contains(flatten([statement.Action]), "iam:*") && !contains(flatten([statement.Action]), "*")])
    error_message = "The provisioner is no administrator."
  }
  assert {
    condition     = strcontains(jsonencode(local.provision), "eu-west-1") && !strcontains(jsonencode(local.provision), "sa-east-1")
    error_message = "It works in the environment's regions only."
  }
}

run "the_provisioner_trusts_clusters_but_changes_no_identity_of_its_own" {
  command = plan
  override_resource {
    target          = aws_kms_key.state
    values          = { arn = "arn:aws:kms:us-east-1:111122223333:key/11111111-2222-3333-4444-555555555555" }
    override_during = plan
  }
  assert {
    condition = alltrue([
      for statement in local.provision : strcontains(jsonencode(statement.Resource), ":oidc-provider/oidc.eks.")
      if contains(flatten([statement.Action]), "iam:CreateOpenIDConnectProvider")
    ])
    error_message = "Only clusters' issuers can be added."
  }
  assert {
    condition     = length([for statement in local.never : statement if try(contains(statement.Resource, "arn:aws:iam::111122223333:oidc-provider/token.actions.githubusercontent.com"), false)]) == 1
    error_message = "What GitHub's workflows may become is not the provisioner's to change."
  }
}

run "another_environment_is_refused" {
  command = plan
  variables {
    environment = "qa"
  }
  expect_failures = [var.environment]
}

run "a_pattern_of_repositories_is_refused" {
  command = plan
  variables {
    repository = "example/*"
  }
  expect_failures = [var.repository]
}

run "wrong_regions_are_refused" {
  command = plan
  variables {
    regions = ["europe"]
  }
  expect_failures = [var.regions]
}

run "wrong_copy_region_is_refused" {
  command = plan
  variables {
    copy_region = "us"
  }
  expect_failures = [var.copy_region]
}

run "wrong_service_is_refused" {
  command = plan
  variables {
    service_linked_roles = ["autoscaling"]
  }
  expect_failures = [var.service_linked_roles]
}

run "policies_fit_into_what_iam_takes" {
  command = plan
  override_resource {
    target          = aws_kms_key.state
    values          = { arn = "arn:aws:kms:us-east-1:111122223333:key/11111111-2222-3333-4444-555555555555" }
    override_during = plan
  }
  assert {
    condition     = max(length(aws_iam_policy.provisioner.policy), length(aws_iam_policy.provisioner_boundary.policy)) <= 6144
    error_message = "IAM takes managed policies of at most 6144 characters: ${length(aws_iam_policy.provisioner.policy)}, ${length(aws_iam_policy.provisioner_boundary.policy)}."
  }
}
