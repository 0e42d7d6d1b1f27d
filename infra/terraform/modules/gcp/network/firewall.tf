# What may enter. VPC firewalls deny what no rule allows; the last rule says so again in order to log it. GKE adds the
# rules for its own control plane and for the balancers that Services ask for; modules/edge/gcp opens 443 at edges on
# machines. No rule here is open to the Internet.

locals {
  # Google's health checks and front ends. The last two ranges are those of passthrough balancers.
  google_probes = ["35.191.0.0/16", "130.211.0.0/22", "209.85.152.0/22", "209.85.204.0/22"]
}

resource "google_compute_firewall" "deny" {
  project       = var.project_id
  name          = "${var.name}-deny"
  description   = "Denies and logs what no other rule allows."
  network       = google_compute_network.this.id
  direction     = "INGRESS"
  priority      = 65534
  source_ranges = ["0.0.0.0/0"]

  deny {
    protocol = "all"
  }

  log_config {
    metadata = "INCLUDE_ALL_METADATA"
  }
}

resource "google_compute_firewall" "probes" {
  project       = var.project_id
  name          = "${var.name}-probes"
  description   = "Google's health checks and front ends to application and edge."
  network       = google_compute_network.this.id
  direction     = "INGRESS"
  priority      = 1000
  source_ranges = local.google_probes
  target_tags   = [local.egress_tag, local.public_tag]

  allow {
    protocol = "tcp"
    # Application, edge over TLS, the node port that says whether a node has an edge (externalTrafficPolicy: Local)
    ports = ["8000", "8443", "30000-32767"]
  }

  log_config {
    metadata = "INCLUDE_ALL_METADATA"
  }
}

resource "google_compute_firewall" "proxies" {
  project       = var.project_id
  name          = "${var.name}-proxies"
  description   = "Google's regional proxies to the application."
  network       = google_compute_network.this.id
  direction     = "INGRESS"
  priority      = 1000
  source_ranges = [local.proxies_cidr]
  target_tags   = [local.egress_tag]

  allow {
    protocol = "tcp"
    ports    = ["8000", "8443"]
  }

  log_config {
    metadata = "INCLUDE_ALL_METADATA"
  }
}
