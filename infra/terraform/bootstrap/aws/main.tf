# Once per account, before everything else, by a person who administers it: the bucket for Terraform's state, and three
# roles that GitHub's workflows take on by OIDC. No key is made, here or later.
#
# | role | taken on by workflows in the GitHub environment | may |
# |---|---|---|
# | `thalweg-plan` | `<environment>-plan` | read, but no object, secret or log; write lock files |
# | `terraform-provisioner` | `<environment>` | change this project's services in its regions; make roles with `thalweg-boundary` only |
# | `thalweg-publish` | `<environment>-publish` | push images to repositories below `thalweg/` |
#
# Protect the GitHub environments `<environment>` and `<environment>-publish` by reviewers and by branch: the role trusts
# whoever they let in.
#
# The first apply has no bucket to keep its state in. Run `terraform init && terraform apply`, then add
# `backend "s3" {}` to a file of your own, and `terraform init -migrate-state -backend-config=...` with the values of
# the output `backend`.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  partition = data.aws_partition.current.partition
  account   = data.aws_caller_identity.current.account_id
  region    = data.aws_region.current.region
  iam       = "arn:${local.partition}:iam::${local.account}"
}
