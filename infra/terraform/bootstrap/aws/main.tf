# The first apply in an account, run once by an administrator: the bucket for Terraform's state, and three roles that
# GitHub's workflows assume through OIDC. This project creates no long-lived key, here or elsewhere.
#
# | role | assumed by workflows in the GitHub environment | rights |
# |---|---|---|
# | `thalweg-plan` | `<environment>-plan` | read, but no object, secret or log; write lock files |
# | `terraform-provisioner` | `<environment>` | change this project's services in its regions; make roles with `thalweg-boundary` only |
# | `thalweg-publish` | `<environment>-publish` | push images to repositories below `thalweg/` |
#
# Protect the GitHub environments `<environment>` and `<environment>-publish` with reviewers and branch rules: the roles
# trust every workflow that runs in these environments.
#
# The first apply keeps its state on your disk. Afterwards add `backend "s3" {}` in a file of your own and run
# `terraform init -migrate-state -backend-config=...` with the values of the output `backend`.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  partition = data.aws_partition.current.partition
  account   = data.aws_caller_identity.current.account_id
  region    = data.aws_region.current.region
  iam       = "arn:${local.partition}:iam::${local.account}"
}
