# What the identities mean: who takes which, what it may do, and refused input.

mock_provider "google" {
  override_during = plan
}

variables {
  project_id    = "example-project"
  workload_pool = "example-project.svc.id.goog"
  workloads = {
    fastapi-app  = { namespace = "apps", account = "fastapi-app", roles = ["roles/cloudsql.instanceUser"] }
    thalweg-edge = { namespace = "edges", account = "thalweg-edge" }
  }
}

run "one_kubernetes_account_takes_one_identity" {
  command = plan

  assert {
    condition = { for name, binding in google_service_account_iam_member.pod : name => binding.member } == {
      fastapi-app  = "serviceAccount:example-project.svc.id.goog[apps/fastapi-app]"
      thalweg-edge = "serviceAccount:example-project.svc.id.goog[edges/thalweg-edge]"
    }
    error_message = "An identity answers to other pods than its own."
  }
}

run "an_identity_has_the_roles_that_it_was_given" {
  command = plan

  assert {
    condition     = [for grant in google_project_iam_member.this : grant.role] == ["roles/cloudsql.instanceUser"]
    error_message = "A workload has another role than the named one."
  }
}

run "rejects_workload_name" {
  command = plan
  variables {
    workloads = { app = { namespace = "apps", account = "app" } }
  }
  expect_failures = [var.workloads]
}

run "rejects_wildcard_namespace" {
  command = plan
  variables {
    workloads = { fastapi-app = { namespace = "*", account = "fastapi-app" } }
  }
  expect_failures = [var.workloads]
}

run "rejects_editor" {
  command = plan
  variables {
    workloads = { fastapi-app = { namespace = "apps", account = "fastapi-app", roles = ["roles/editor"] } }
  }
  expect_failures = [var.workloads]
}

run "rejects_pool" {
  command = plan
  variables {
    workload_pool = "example-project"
  }
  expect_failures = [var.workload_pool]
}

run "rejects_project_id" {
  command = plan
  variables {
    project_id = "x"
  }
  expect_failures = [var.project_id]
}
