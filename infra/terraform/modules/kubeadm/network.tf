# A network of their own: machines leave through NAT, talk to each other, and are reached by SSH through Identity-Aware
# Proxy and by node ports from named networks.

resource "google_compute_network" "this" {
  project                         = var.project_id
  name                            = var.name
  description                     = "Network of the three machines."
  auto_create_subnetworks         = false
  routing_mode                    = "REGIONAL"
  delete_default_routes_on_create = true
}

resource "google_compute_subnetwork" "this" {
  project                  = var.project_id
  name                     = var.name
  description              = "The three machines."
  region                   = local.region
  network                  = google_compute_network.this.id
  ip_cidr_range            = var.addresses.network
  private_ip_google_access = true

  log_config {
    aggregation_interval = "INTERVAL_30_SEC"
    flow_sampling        = 0.5
    metadata             = "INCLUDE_ALL_METADATA"
  }
}

resource "google_compute_route" "egress" {
  project          = var.project_id
  name             = "${var.name}-egress"
  description      = "Machines without external addresses, through NAT."
  network          = google_compute_network.this.id
  dest_range       = "0.0.0.0/0"
  next_hop_gateway = "default-internet-gateway"
  tags             = [var.name]
}

resource "google_compute_router" "this" {
  project     = var.project_id
  name        = var.name
  description = "Carries NAT."
  region      = local.region
  network     = google_compute_network.this.id
}

resource "google_compute_router_nat" "this" {
  project                             = var.project_id
  name                                = var.name
  region                              = local.region
  router                              = google_compute_router.this.name
  nat_ip_allocate_option              = "AUTO_ONLY"
  source_subnetwork_ip_ranges_to_nat  = "LIST_OF_SUBNETWORKS"
  enable_dynamic_port_allocation      = true
  enable_endpoint_independent_mapping = false
  min_ports_per_vm                    = 64
  max_ports_per_vm                    = 4096

  subnetwork {
    name                    = google_compute_subnetwork.this.id
    source_ip_ranges_to_nat = ["ALL_IP_RANGES"]
  }

  log_config {
    enable = true
    filter = "ERRORS_ONLY"
  }
}

resource "google_compute_firewall" "machines" {
  project     = var.project_id
  name        = "${var.name}-machines"
  description = "API, kubelets and Flannel's VXLAN, between the machines."
  network     = google_compute_network.this.id
  direction   = "INGRESS"
  source_tags = [var.name]
  target_tags = [var.name]

  allow {
    protocol = "tcp"
    ports    = ["6443", "10250"]
  }

  allow {
    protocol = "udp"
    ports    = ["8472"]
  }

  log_config {
    metadata = "INCLUDE_ALL_METADATA"
  }
}

resource "google_compute_firewall" "ssh" {
  project       = var.project_id
  name          = "${var.name}-ssh"
  description   = "SSH through Identity-Aware Proxy, whose addresses these are."
  network       = google_compute_network.this.id
  direction     = "INGRESS"
  source_ranges = ["35.235.240.0/20"]
  target_tags   = [var.name]

  allow {
    protocol = "tcp"
    ports    = ["22"]
  }

  log_config {
    metadata = "INCLUDE_ALL_METADATA"
  }
}

resource "google_compute_firewall" "node_ports" {
  count = length(var.node_port_clients) == 0 ? 0 : 1

  project       = var.project_id
  name          = "${var.name}-node-ports"
  description   = "Stages and Prometheus, from named networks."
  network       = google_compute_network.this.id
  direction     = "INGRESS"
  source_ranges = var.node_port_clients
  target_tags   = [var.name]

  allow {
    protocol = "tcp"
    ports    = ["30080-30082", "30090"]
  }

  log_config {
    metadata = "INCLUDE_ALL_METADATA"
  }
}
