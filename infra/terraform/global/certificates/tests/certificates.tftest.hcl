# Checks which names a cluster may prove, and that it may write nothing else.
mock_provider "aws" {
  source = "../../mocks/aws"
  mock_resource "aws_iam_openid_connect_provider" {
    defaults = { arn = "arn:aws:iam::111122223333:oidc-provider/oidc.example.com" }
  }
}

variables {
  zone_id = "Z1"
  hosts   = ["api.example.com", "one.example.com", "two.example.com"]
  clusters = {
    one = { issuer = "https://oidc.example.com/one", hosts = ["api.example.com", "one.example.com"] }
    two = { issuer = "https://oidc.example.com/two", hosts = ["two.example.com"] }
  }
}

run "a_cluster_proves_its_own_names_and_nothing_else" {
  assert {
    condition = (
      jsondecode(aws_iam_role_policy.this["two"].policy).Statement[0].Condition["ForAllValues:StringEquals"]["route53:ChangeResourceRecordSetsNormalizedRecordNames"] == ["_acme-challenge.two.example.com"]
      && jsondecode(aws_iam_role_policy.this["two"].policy).Statement[0].Condition["ForAllValues:StringEquals"]["route53:ChangeResourceRecordSetsRecordTypes"] == ["TXT"]
      && jsondecode(aws_iam_role_policy.this["two"].policy).Statement[0].Condition["Null"]["route53:ChangeResourceRecordSetsRecordTypes"] == "false"
    )
    error_message = "A proof is a TXT record of the cluster's own names."
  }
  assert {
    condition     = alltrue([for policy in aws_iam_role_policy.this : alltrue([for statement in jsondecode(policy.policy).Statement : statement.Resource != "*" && statement.Action != "route53:*"])])
    error_message = "No role may change anything else."
  }
}

run "only_cert_manager_of_that_cluster_takes_the_role" {
  assert {
    condition     = jsondecode(aws_iam_role.this["one"].assume_role_policy).Statement[0].Condition.StringEquals == { "oidc.example.com/one:aud" = "sts.amazonaws.com", "oidc.example.com/one:sub" = "system:serviceaccount:cert-manager:cert-manager" }
    error_message = "The token is cert-manager's, of this cluster, for AWS."
  }
  assert {
    condition     = output.issuers["one"].route53.role == aws_iam_role.this["one"].arn
    error_message = "The issuer is given the role of its cluster."
  }
}

run "refuses_a_name_that_is_not_ours" {
  command = plan
  variables {
    name = "certificates"
  }
  expect_failures = [var.name]
}

run "refuses_a_wildcard" {
  command = plan
  variables {
    hosts = ["*.example.com"]
  }
  expect_failures = [var.hosts]
}

run "refuses_tokens_over_plain_http" {
  command = plan
  variables {
    clusters = { one = { issuer = "http://oidc.example.com", hosts = ["api.example.com"] } }
  }
  expect_failures = [var.clusters]
}

run "refuses_two_clusters_with_one_issuer" {
  command = plan
  variables {
    clusters = { one = { issuer = "https://oidc.example.com", hosts = ["api.example.com"] }, two = { issuer = "https://oidc.example.com", hosts = ["api.example.com"] } }
  }
  expect_failures = [var.clusters]
}

run "refuses_names_that_are_not_hosts" {
  command = plan
  variables {
    clusters = { one = { issuer = "https://oidc.example.com", hosts = ["other.example.org"] } }
  }
  expect_failures = [var.clusters]
}

run "refuses_any_service_account" {
  command = plan
  variables {
    service_account = "cert-manager:*"
  }
  expect_failures = [var.service_account]
}
