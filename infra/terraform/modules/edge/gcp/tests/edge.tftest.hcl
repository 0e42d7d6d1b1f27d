# What the way to the edges means: an address that stays, packets that stay as they are, and refused input.

mock_provider "google" {
  override_during = plan
}

variables {
  project_id = "example-project"
  region     = "europe-west1"
  labels     = { environment = "production", owner = "platform" }
}

run "gke_is_given_an_address_and_nothing_else" {
  command = plan

  assert {
    condition     = google_compute_address.this.address_type == "EXTERNAL" && output.service_annotations["networking.gke.io/load-balancer-ip-addresses"] == "thalweg-edge"
    error_message = "The Service cannot name its address."
  }

  assert {
    condition     = length(google_compute_forwarding_rule.this) + length(google_compute_firewall.clients) == 0
    error_message = "Terraform and GKE would both make the balancer."
  }
}

run "machines_get_a_passthrough_balancer_that_follows_readyz" {
  command = plan

  variables {
    machines = { network = "network", groups = ["a", "b", "c"], tag = "public" }
  }

  assert {
    condition     = google_compute_region_backend_service.this[0].load_balancing_scheme == "EXTERNAL" && google_compute_region_backend_service.this[0].protocol == "TCP"
    error_message = "The balancer is a proxy: the edge would not see clients' addresses."
  }

  assert {
    condition     = google_compute_region_health_check.this[0].http_health_check[0].request_path == "/readyz" && google_compute_region_health_check.this[0].http_health_check[0].port == 9900
    error_message = "The balancer does not follow /readyz."
  }

  assert {
    condition     = tolist(google_compute_firewall.clients[0].allow)[0].ports == tolist(["443"]) && !contains(google_compute_firewall.probes[0].source_ranges, "0.0.0.0/0")
    error_message = "More than 443 is open to the Internet."
  }

  assert {
    condition     = length(google_compute_firewall.clients[0].allow) == 1 && google_compute_forwarding_rule.this[0].ip_protocol == "TCP" && google_compute_forwarding_rule.this[0].all_ports == null
    error_message = "UDP is open although no listener has h3."
  }
}

run "http3_is_udp_443_beside_tcp" {
  command = plan

  variables {
    http3    = true
    machines = { network = "network", groups = ["a"], tag = "public" }
  }

  assert {
    condition     = google_compute_region_backend_service.this[0].protocol == "UNSPECIFIED" && google_compute_forwarding_rule.this[0].ip_protocol == "L3_DEFAULT" && google_compute_forwarding_rule.this[0].all_ports == true
    error_message = "The balancer passes no UDP."
  }

  assert {
    condition     = toset([for rule in google_compute_firewall.clients[0].allow : "${rule.protocol} ${join(",", rule.ports)}"]) == toset(["tcp 443", "udp 443"])
    error_message = "The firewall opens 443 of TCP and UDP, and nothing else."
  }
}

run "rejects_project_id" {
  command = plan
  variables {
    project_id = "x"
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

run "rejects_name" {
  command = plan
  variables {
    name = "Thalweg Edge"
  }
  expect_failures = [var.name]
}

run "rejects_admin_port_for_clients" {
  command = plan
  variables {
    ports = ["443", "9900"]
  }
  expect_failures = [var.ports]
}

run "rejects_no_machines" {
  command = plan
  variables {
    machines = { network = "network", groups = [], tag = "public" }
  }
  expect_failures = [var.machines]
}

run "rejects_low_admin_port" {
  command = plan
  variables {
    machines = { network = "network", groups = ["a"], tag = "public", admin_port = 80 }
  }
  expect_failures = [var.machines]
}

run "rejects_labels_without_owner" {
  command = plan
  variables {
    labels = { environment = "production" }
  }
  expect_failures = [var.labels]
}
