# What the network means: addresses, the ways out, what may enter, and which input is refused.

# Planned, not applied: what must not be destroyed cannot be torn down after a test.
mock_provider "google" {
  override_during = plan
}

override_resource {
  target          = google_compute_subnetwork.private
  override_during = plan
  values          = { id = "private" }
}

variables {
  project_id    = "example-project"
  name          = "production-europe-west1"
  region        = "europe-west1"
  cidr          = "10.20.0.0/16"
  pods_cidr     = "100.64.0.0/17"
  services_cidr = "100.64.128.0/20"
  labels        = { environment = "production", owner = "platform" }
}

run "subnets_come_from_the_plan" {
  command = plan

  assert {
    condition = [
      google_compute_subnetwork.private.ip_cidr_range,
      google_compute_subnetwork.public.ip_cidr_range,
      google_compute_subnetwork.endpoints.ip_cidr_range,
      google_compute_subnetwork.proxies.ip_cidr_range,
    ] == ["10.20.0.0/20", "10.20.16.0/20", "10.20.32.0/24", "10.20.34.0/23"]
    error_message = "The subnets are not those of the address plan."
  }

  assert {
    condition     = google_compute_global_address.apis.address == "10.20.255.0"
    error_message = "The address of Google's APIs is not outside the subnets."
  }

  assert {
    condition     = alltrue([for subnet in [google_compute_subnetwork.private, google_compute_subnetwork.public, google_compute_subnetwork.endpoints] : length(subnet.log_config) == 1])
    error_message = "A subnet has no flow log."
  }
}

run "no_way_out_without_a_tag" {
  command = plan

  assert {
    condition     = google_compute_network.this.delete_default_routes_on_create
    error_message = "The network keeps its default route to the Internet."
  }

  assert {
    condition     = alltrue([for route in [google_compute_route.egress, google_compute_route.public] : length(route.tags) == 1])
    error_message = "A route to the Internet applies to machines without a tag."
  }

  assert {
    condition     = google_compute_route.egress.tags != google_compute_route.public.tags
    error_message = "Private nodes and public machines share a tag."
  }
}

run "nat_lends_ports_on_fixed_addresses" {
  command = plan

  variables {
    egress_addresses = 3
  }

  assert {
    condition     = google_compute_router_nat.this.enable_dynamic_port_allocation && !google_compute_router_nat.this.enable_endpoint_independent_mapping
    error_message = "NAT has static ports."
  }

  assert {
    condition     = google_compute_router_nat.this.nat_ip_allocate_option == "MANUAL_ONLY" && length(google_compute_address.egress) == 3 && length(output.egress_addresses) == 3
    error_message = "NAT leaves by addresses that Google chooses."
  }

  assert {
    condition     = [for subnet in google_compute_router_nat.this.subnetwork : subnet.name] == ["private"]
    error_message = "NAT serves another subnet than the private one."
  }
}

run "nothing_is_open_to_the_internet" {
  command = plan

  assert {
    condition     = alltrue([for rule in [google_compute_firewall.probes, google_compute_firewall.proxies] : !contains(rule.source_ranges, "0.0.0.0/0")])
    error_message = "A rule that allows something is open to the Internet."
  }

  assert {
    condition     = length(google_compute_firewall.deny.deny) == 1 && google_compute_firewall.deny.priority == 65534
    error_message = "The rule that logs what is denied is missing."
  }
}

run "endpoints_stay_inside" {
  command = plan

  assert {
    condition     = alltrue([for zone in google_dns_managed_zone.apis : zone.visibility == "private"])
    error_message = "A zone of Google's APIs is public."
  }

  assert {
    condition     = google_network_connectivity_service_connection_policy.cache.service_class == "gcp-memorystore"
    error_message = "Memorystore cannot place its endpoint."
  }
}

run "rejects_project_id" {
  command = plan
  variables {
    project_id = "Example"
  }
  expect_failures = [var.project_id]
}

run "rejects_name" {
  command = plan
  variables {
    name = "Production_EU"
  }
  expect_failures = [var.name]
}

run "rejects_zone_as_region" {
  command = plan
  variables {
    region = "europe-west1-b"
  }
  expect_failures = [var.region]
}

run "rejects_cidr_size" {
  command = plan
  variables {
    cidr = "10.20.0.0/20"
  }
  expect_failures = [var.cidr]
}

run "rejects_cidr_host_bits" {
  command = plan
  variables {
    cidr = "10.20.1.0/16"
  }
  expect_failures = [var.cidr]
}

run "rejects_pods_outside_shared_space" {
  command = plan
  variables {
    pods_cidr = "10.128.0.0/14"
  }
  expect_failures = [var.pods_cidr]
}

run "rejects_services_too_small" {
  command = plan
  variables {
    services_cidr = "100.64.128.0/24"
  }
  expect_failures = [var.services_cidr]
}

run "rejects_overlap_of_pods_and_services" {
  command = plan
  variables {
    services_cidr = "100.64.64.0/20"
  }
  expect_failures = [google_compute_subnetwork.private]
}

run "rejects_egress_addresses" {
  command = plan
  variables {
    egress_addresses = 0
  }
  expect_failures = [var.egress_addresses]
}

run "rejects_max_ports" {
  command = plan
  variables {
    max_ports_per_vm = 1000
  }
  expect_failures = [var.max_ports_per_vm]
}

run "rejects_no_flow_logs" {
  command = plan
  variables {
    flow_log_sampling = 0
  }
  expect_failures = [var.flow_log_sampling]
}

run "rejects_labels_without_owner" {
  command = plan
  variables {
    labels = { environment = "production" }
  }
  expect_failures = [var.labels]
}

run "rejects_label_characters" {
  command = plan
  variables {
    labels = { environment = "production", owner = "Platform Team" }
  }
  expect_failures = [var.labels]
}
