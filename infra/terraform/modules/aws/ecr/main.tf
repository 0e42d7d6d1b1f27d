# Image repositories: tags never move, every image is scanned when pushed and again when a new vulnerability is known,
# old ones leave, and each is copied to the other regions under a key of theirs.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  account = data.aws_caller_identity.current.account_id
  home    = data.aws_region.current.region
  expiry = jsonencode({
    rules = [
      {
        rulePriority = 1
        description  = "What lost its tag or never had one leaves after two weeks"
        selection    = { tagStatus = "untagged", countType = "sinceImagePushed", countUnit = "days", countNumber = 14 }
        action       = { type = "expire" }
      },
      {
        rulePriority = 2
        description  = "Of the others the newest stay"
        selection    = { tagStatus = "any", countType = "imageCountMoreThan", countNumber = var.kept_images }
        action       = { type = "expire" }
      },
    ]
  })
}

module "key" {
  source   = "../key"
  for_each = setunion(var.replica_regions, [local.home])

  region      = each.value
  name        = "thalweg-images"
  description = "Container images in ${each.value}"
}

resource "aws_ecr_repository" "this" {
  for_each = var.repositories

  name                 = each.value
  image_tag_mutability = "IMMUTABLE"

  image_scanning_configuration {
    scan_on_push = true
  }
  encryption_configuration {
    encryption_type = "KMS"
    kms_key         = module.key[local.home].arn
  }
}

resource "aws_ecr_lifecycle_policy" "this" {
  for_each = var.repositories

  repository = aws_ecr_repository.this[each.value].name
  policy     = local.expiry
}

resource "aws_ecr_registry_scanning_configuration" "this" {
  for_each = setunion(var.replica_regions, [local.home])

  region    = each.value
  scan_type = "ENHANCED"
  rule {
    scan_frequency = "CONTINUOUS_SCAN"
    repository_filter {
      filter      = "thalweg/*"
      filter_type = "WILDCARD"
    }
  }
}

resource "aws_ecr_replication_configuration" "this" {
  count = length(var.replica_regions) > 0 ? 1 : 0

  replication_configuration {
    rule {
      dynamic "destination" {
        for_each = var.replica_regions
        content {
          region      = destination.value
          registry_id = local.account
        }
      }
      repository_filter {
        filter      = "thalweg/"
        filter_type = "PREFIX_MATCH"
      }
    }
  }

  depends_on = [aws_ecr_repository_creation_template.replica]
}

# A copy's repository is made by ECR at the first push. Without a template its tags could move and its key would be Amazon's.
resource "aws_ecr_repository_creation_template" "replica" {
  for_each = var.replica_regions

  region               = each.value
  prefix               = "thalweg"
  description          = "Copies of the repositories of ${local.home}"
  applied_for          = ["REPLICATION"]
  image_tag_mutability = "IMMUTABLE"
  lifecycle_policy     = local.expiry
  custom_role_arn      = aws_iam_role.replica.arn
  resource_tags        = data.aws_default_tags.current.tags

  encryption_configuration {
    encryption_type = "KMS"
    kms_key         = module.key[each.value].arn
  }
}

data "aws_default_tags" "current" {}

resource "aws_iam_role" "replica" {
  name                 = "thalweg-image-copies"
  permissions_boundary = var.permissions_boundary
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "ecr.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = { StringEquals = { "aws:SourceAccount" = local.account } }
    }]
  })
}

resource "aws_iam_role_policy" "replica" {
  name = "make-repositories"
  role = aws_iam_role.replica.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect   = "Allow"
        Action   = ["ecr:CreateRepository", "ecr:ReplicateImage", "ecr:TagResource"]
        Resource = "arn:${data.aws_partition.current.partition}:ecr:*:${local.account}:repository/thalweg/*"
      },
      {
        Effect   = "Allow"
        Action   = ["kms:CreateGrant", "kms:DescribeKey", "kms:RetireGrant"]
        Resource = [for region in var.replica_regions : module.key[region].arn]
      },
    ]
  })
}
