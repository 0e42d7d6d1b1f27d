# Tags stay, images are scanned, copied and encrypted; wrong values are refused.

mock_provider "aws" {
  source = "../../../mocks/aws"
}

variables {
  permissions_boundary = "arn:aws:iam::111122223333:policy/thalweg-boundary"
}

run "tags_never_move" {
  assert {
    condition     = alltrue([for repository in aws_ecr_repository.this : repository.image_tag_mutability == "IMMUTABLE"]) && alltrue([for template in aws_ecr_repository_creation_template.replica : template.image_tag_mutability == "IMMUTABLE"])
    error_message = "A tag names one image for ever, in copies too."
  }
  assert {
    condition     = alltrue([for repository in aws_ecr_repository.this : repository.encryption_configuration[0].encryption_type == "KMS" && repository.image_scanning_configuration[0].scan_on_push])
    error_message = "Images are encrypted under the customer key, and scanned."
  }
  assert {
    condition     = toset([for place in aws_ecr_replication_configuration.this[0].replication_configuration[0].rule[0].destination : place.region]) == toset(["eu-west-1", "ap-southeast-1"])
    error_message = "Both other regions get copies."
  }
  assert {
    condition     = length(jsondecode(aws_ecr_lifecycle_policy.this["thalweg/edge"].policy).rules) == 2
    error_message = "Old images leave."
  }
}

run "one_region_alone_copies_nothing" {
  variables {
    replica_regions = []
  }
  assert {
    condition     = length(aws_ecr_replication_configuration.this) == 0 && length(aws_ecr_registry_scanning_configuration.this) == 1
    error_message = "Without other regions nothing is copied, and scanning stays."
  }
}

run "wrong_repository_is_refused" {
  command = plan
  variables {
    repositories = ["edge"]
  }
  expect_failures = [var.repositories]
}

run "wrong_region_is_refused" {
  command = plan
  variables {
    replica_regions = ["europe"]
  }
  expect_failures = [var.replica_regions]
}

run "too_few_images_are_refused" {
  command = plan
  variables {
    kept_images = 3
  }
  expect_failures = [var.kept_images]
}

run "wrong_boundary_is_refused" {
  command = plan
  variables {
    permissions_boundary = "boundary"
  }
  expect_failures = [var.permissions_boundary]
}
