# What the bootstrap means: who gets which identity, what it may do and what not, and how state is kept.

mock_provider "google" {
  override_during = plan

  mock_data "google_storage_project_service_account" {
    defaults = { member = "serviceAccount:service-1@gs-project-accounts.iam.gserviceaccount.com" }
  }

  mock_resource "google_iam_workload_identity_pool" {
    defaults = { name = "projects/1/locations/global/workloadIdentityPools/github" }
  }
}

mock_provider "google-beta" {
  override_during = plan
}

variables {
  project_id = "example-bootstrap"
  repository = { name = "example/thalweg", id = 123456789 }
  environments = {
    development = { project_id = "example-development" }
    production  = { project_id = "example-production" }
  }
}

run "identities_are_bound_to_repository_and_environment" {
  command = plan

  assert {
    condition = { for key, binding in google_service_account_iam_member.github : key => binding.member } == {
      for key, environment in { development-plan = "development-plan", development-apply = "development", development-release = "development-publish", production-plan = "production-plan", production-apply = "production", production-release = "production-publish" } :
      key => "principalSet://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/github/attribute.grant/123456789:${environment}"
    }
    error_message = "An identity answers to another repository or environment than its own."
  }

  assert {
    condition     = google_iam_workload_identity_pool_provider.github.attribute_condition == "assertion.repository == 'example/thalweg' && assertion.repository_id == '123456789' && has(assertion.environment)"
    error_message = "Tokens of other repositories, or without an environment, are exchanged."
  }

  assert {
    condition     = alltrue([for account in google_service_account.pipeline : length(account.account_id) <= 30 && account.project == "example-bootstrap"])
    error_message = "An account's name is too long, or the account is in an environment that could change it."
  }
}

run "plan_reads_and_writes_nothing" {
  command = plan

  assert {
    condition = alltrue([for key, grant in google_project_iam_member.pipeline :
      can(regex("(viewer|Viewer|reader|Reviewer|browser)$", grant.role)) if startswith(key, "production-plan/")
    ])
    error_message = "The plan's identity has a role that changes something."
  }

  assert {
    condition     = google_storage_bucket_iam_member.state["production-plan"].role == "roles/storage.objectViewer" && google_storage_bucket_iam_member.state["production-plan"].bucket == "example-bootstrap-state-production"
    error_message = "The plan's identity writes state, or reads that of another environment."
  }

  assert {
    condition     = !anytrue([for key in keys(google_project_iam_member.pipeline) : strcontains(key, "-release/")]) && !contains(keys(google_storage_bucket_iam_member.state), "production-release")
    error_message = "The identity that releases images has rights over the environment or its state."
  }

  assert {
    condition     = toset(keys(google_project_iam_member.boundary)) == toset(["development", "production"])
    error_message = "An identity other than terraform-provisioner hands on roles."
  }
}

run "the_provisioner_stays_inside_its_border" {
  command = plan

  assert {
    condition     = !anytrue([for grant in google_project_iam_member.pipeline : contains(["roles/owner", "roles/editor", "roles/iam.serviceAccountTokenCreator", "roles/iam.roleAdmin", "roles/resourcemanager.projectIamAdmin"], grant.role)])
    error_message = "A role of the pipeline has no border."
  }

  assert {
    condition     = alltrue([for grant in google_project_iam_member.boundary : startswith(grant.condition[0].expression, "api.getAttribute('iam.googleapis.com/modifiedGrantsByRole', []).hasOnly(['roles/")])
    error_message = "The provisioner may hand on any role."
  }

  assert {
    condition     = !can(regex("[aA]dmin|roles/(owner|editor)'", google_project_iam_member.boundary["production"].condition[0].expression))
    error_message = "The provisioner may hand on a role that grants roles."
  }

  assert {
    condition = alltrue([for permission in ["iam.googleapis.com/serviceAccountKeys.create", "secretmanager.googleapis.com/versions.access", "cloudkms.googleapis.com/cryptoKeyVersions.destroy"] :
      contains(google_iam_deny_policy.provisioner["production"].rules[0].deny_rule[0].denied_permissions, permission)
    ])
    error_message = "The provisioner may make keys, read secrets or destroy keys."
  }

  assert {
    condition     = google_iam_deny_policy.provisioner["production"].parent == "cloudresourcemanager.googleapis.com%2Fprojects%2Fexample-production"
    error_message = "The deny policy is attached elsewhere."
  }

  assert {
    condition     = contains(keys(google_org_policy_policy.this), "example-production/iam.disableServiceAccountKeyCreation") && contains(keys(google_org_policy_policy.this), "example-bootstrap/iam.disableServiceAccountKeyCreation")
    error_message = "A long-lived key can be made."
  }
}

run "state_is_versioned_private_and_under_its_own_key" {
  command = plan

  assert {
    condition     = toset(keys(google_storage_bucket.state)) == toset(["bootstrap", "development", "production"])
    error_message = "Environments share a bucket."
  }

  assert {
    condition     = alltrue([for bucket in google_storage_bucket.state : bucket.versioning[0].enabled && bucket.public_access_prevention == "enforced" && bucket.uniform_bucket_level_access && length(bucket.encryption) == 1])
    error_message = "A state bucket is unversioned, public or without a customer key."
  }

  assert {
    condition     = alltrue([for key in google_kms_crypto_key.this : key.rotation_period == "7776000s"])
    error_message = "A key does not rotate."
  }
}

run "audit_logs_outlive_their_writers" {
  command = plan

  assert {
    condition     = google_storage_bucket.audit.retention_policy[0].is_locked && google_storage_bucket.audit.retention_policy[0].retention_period == 400 * 86400
    error_message = "The audit log can be deleted early."
  }

  assert {
    condition     = toset(keys(google_logging_project_sink.audit)) == toset(["bootstrap", "development", "production"])
    error_message = "A project's audit log is not copied."
  }
}

run "rejects_project_id" {
  command = plan
  variables {
    project_id = "Bootstrap"
  }
  expect_failures = [var.project_id]
}

run "rejects_region" {
  command = plan
  variables {
    region = "eu"
  }
  expect_failures = [var.region]
}

run "rejects_unknown_environment" {
  command = plan
  variables {
    environments = { test = { project_id = "example-test" } }
  }
  expect_failures = [var.environments]
}

run "rejects_shared_project" {
  command = plan
  variables {
    environments = { development = { project_id = "example-one" }, production = { project_id = "example-one" } }
  }
  expect_failures = [var.environments]
}

run "rejects_repository_wildcard" {
  command = plan
  variables {
    repository = { name = "example/*", id = 1 }
  }
  expect_failures = [var.repository]
}

run "rejects_repository_without_number" {
  command = plan
  variables {
    repository = { name = "example/thalweg", id = 0 }
  }
  expect_failures = [var.repository]
}

run "rejects_short_audit" {
  command = plan
  variables {
    audit_retention_days = 30
  }
  expect_failures = [var.audit_retention_days]
}

run "rejects_labels_without_owner" {
  command = plan
  variables {
    labels = { environment = "bootstrap" }
  }
  expect_failures = [var.labels]
}
