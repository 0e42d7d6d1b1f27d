# The way out. The network's own default route is deleted: a route here carries a tag, so a machine without one has no
# way to the Internet at all. Nodes leave through NAT by fixed addresses, which other clouds' origins allow.

resource "google_compute_route" "egress" {
  project          = var.project_id
  name             = "${var.name}-egress"
  description      = "Nodes without external addresses, through NAT."
  network          = google_compute_network.this.id
  dest_range       = "0.0.0.0/0"
  next_hop_gateway = "default-internet-gateway"
  priority         = 1000
  tags             = [local.egress_tag]
}

resource "google_compute_route" "public" {
  project          = var.project_id
  name             = "${var.name}-public"
  description      = "Machines of the public subnet, by their own external addresses."
  network          = google_compute_network.this.id
  dest_range       = "0.0.0.0/0"
  next_hop_gateway = "default-internet-gateway"
  priority         = 1000
  tags             = [local.public_tag]
}

resource "google_compute_router" "this" {
  project     = var.project_id
  name        = var.name
  description = "Carries NAT."
  region      = var.region
  network     = google_compute_network.this.id
}

resource "google_compute_address" "egress" {
  count = var.egress_addresses

  project      = var.project_id
  name         = "${var.name}-egress-${count.index}"
  description  = "Fixed address under which this region's edges reach the origins of other clouds."
  region       = var.region
  address_type = "EXTERNAL"
  network_tier = "PREMIUM"
  labels       = var.labels

  # Other clouds' allow-lists name these addresses: losing one locks this region out of them.
  lifecycle {
    prevent_destroy = true
  }
}

# Ports are lent on demand. With the static default of 64 per node an edge stops at 64 connections per origin address.
# Dynamic allocation excludes endpoint-independent mapping, which only peer-to-peer protocols need.
resource "google_compute_router_nat" "this" {
  project                             = var.project_id
  name                                = var.name
  region                              = var.region
  router                              = google_compute_router.this.name
  nat_ip_allocate_option              = "MANUAL_ONLY"
  nat_ips                             = google_compute_address.egress[*].self_link
  source_subnetwork_ip_ranges_to_nat  = "LIST_OF_SUBNETWORKS"
  enable_dynamic_port_allocation      = true
  enable_endpoint_independent_mapping = false
  min_ports_per_vm                    = 64
  max_ports_per_vm                    = var.max_ports_per_vm

  # The edge keeps idle connections for seconds and closes first; the default of 20 minutes only holds ports back.
  tcp_established_idle_timeout_sec = 300

  subnetwork {
    name                    = google_compute_subnetwork.private.id
    source_ip_ranges_to_nat = ["ALL_IP_RANGES"]
  }

  log_config {
    enable = true
    filter = "ERRORS_ONLY"
  }
}
