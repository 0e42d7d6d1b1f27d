# What the origin's policies mean: who is answered, over which TLS, and which input is refused.

mock_provider "google" {
  override_during = plan
}

variables {
  project_id = "example-project"
  region     = "europe-west1"
  edges      = ["192.0.2.1/32", "198.51.100.1/32"]
  labels     = { environment = "production", owner = "platform" }
}

run "only_edges_are_answered" {
  command = plan

  assert {
    condition     = toset(flatten([for rule in google_compute_region_security_policy.this[0].rules : rule.match[0].config[0].src_ip_ranges if rule.action == "allow"])) == var.edges
    error_message = "Others than the edges are allowed."
  }

  assert {
    condition     = [for rule in google_compute_region_security_policy.this[0].rules : rule.action if rule.priority == 2147483647] == ["deny(403)"]
    error_message = "Strangers are not refused."
  }

  assert {
    condition     = max([for rule in google_compute_region_security_policy.this[0].rules : rule.priority if length(rule.match[0].expr) == 1]...) < min([for rule in google_compute_region_security_policy.this[0].rules : rule.priority if rule.action == "allow"]...)
    error_message = "An edge is let in before attacks are looked for."
  }
}

run "tls_is_at_least_1_2_by_a_named_policy" {
  command = plan

  assert {
    condition     = google_compute_region_ssl_policy.this[0].min_tls_version == "TLS_1_2" && google_compute_region_ssl_policy.this[0].profile == "RESTRICTED" && google_compute_region_ssl_policy.this[0].name == output.tls_policy
    error_message = "TLS 1.1 or a cipher without forward secrecy is accepted."
  }
}

run "an_ingress_gets_the_same_globally" {
  command = plan

  variables {
    scope = "global"
  }

  assert {
    condition     = length(google_compute_address.this) == 0 && length(google_compute_global_address.this) == 1 && google_compute_ssl_policy.this[0].min_tls_version == "TLS_1_2"
    error_message = "A global balancer would be given regional things."
  }

  assert {
    condition     = toset(flatten([for rule in google_compute_security_policy.this[0].rule : tolist(rule.match[0].config[0].src_ip_ranges) if rule.action == "allow"])) == var.edges
    error_message = "Others than the edges are allowed."
  }

  assert {
    condition     = contains([for rule in google_compute_security_policy.this[0].rule : try(rule.match[0].expr[0].expression, "")], "evaluatePreconfiguredWaf('cve-canary')")
    error_message = "Log4j is not looked for."
  }
}

run "many_edges_need_several_rules" {
  command = plan

  variables {
    edges = ["192.0.2.0/32", "192.0.2.1/32", "192.0.2.2/32", "192.0.2.3/32", "192.0.2.4/32", "192.0.2.5/32", "192.0.2.6/32", "192.0.2.7/32", "192.0.2.8/32", "192.0.2.9/32", "192.0.2.10/32"]
  }

  assert {
    condition     = [for rule in google_compute_region_security_policy.this[0].rules : length(rule.match[0].config[0].src_ip_ranges) if rule.action == "allow"] == [10, 1]
    error_message = "A rule has more than ten addresses."
  }
}

run "rejects_project_id" {
  command = plan
  variables {
    project_id = "UPPER-CASE"
  }
  expect_failures = [var.project_id]
}

run "rejects_region" {
  command = plan
  variables {
    region = "europe-west1-b"
  }
  expect_failures = [var.region]
}

run "rejects_scope" {
  command = plan
  variables {
    scope = "zonal"
  }
  expect_failures = [var.scope]
}

run "rejects_release_name" {
  command = plan
  variables {
    releases = ["FastAPI"]
  }
  expect_failures = [var.releases]
}

run "rejects_the_whole_internet" {
  command = plan
  variables {
    edges = ["0.0.0.0/0"]
  }
  expect_failures = [var.edges]
}

run "rejects_too_many_edges" {
  command = plan
  variables {
    edges = [for number in range(101) : "192.0.2.${number}/32"]
  }
  expect_failures = [var.edges]
}

run "rejects_labels_without_owner" {
  command = plan
  variables {
    labels = { environment = "production" }
  }
  expect_failures = [var.labels]
}
