# Edges on machines: a balancer of their own, which follows /readyz. A draining edge keeps its open connections.

locals {
  machines = var.machines == null ? [] : [var.machines]
}

resource "google_compute_region_health_check" "this" {
  count = length(local.machines)

  project             = var.project_id
  name                = var.name
  description         = "Whether an edge can serve."
  region              = var.region
  check_interval_sec  = 2
  timeout_sec         = 1
  healthy_threshold   = 2
  unhealthy_threshold = 2

  http_health_check {
    port         = var.machines.admin_port
    request_path = "/readyz"
  }

  log_config {
    enable = true
  }
}

resource "google_compute_region_backend_service" "this" {
  count = length(local.machines)

  project               = var.project_id
  name                  = var.name
  description           = "Edges of ${var.region}."
  region                = var.region
  load_balancing_scheme = "EXTERNAL"
  protocol              = var.http3 ? "UNSPECIFIED" : "TCP"
  health_checks         = [google_compute_region_health_check.this[0].id]

  # The edge's own drain takes 25 s at most; the balancer waits a little longer.
  connection_draining_timeout_sec = 40

  dynamic "backend" {
    for_each = var.machines.groups

    content {
      group          = backend.value
      balancing_mode = "CONNECTION"
    }
  }

  log_config {
    enable      = true
    sample_rate = 0.1
  }
}

resource "google_compute_forwarding_rule" "this" {
  count = length(local.machines)

  project               = var.project_id
  name                  = var.name
  description           = "Clients to the edges of ${var.region}."
  region                = var.region
  load_balancing_scheme = "EXTERNAL"
  network_tier          = "PREMIUM"
  ip_address            = google_compute_address.this.id
  # One rule for both: it forwards every packet, and the firewall below says which ports there are.
  ip_protocol     = var.http3 ? "L3_DEFAULT" : "TCP"
  ports           = var.http3 ? null : var.ports
  all_ports       = var.http3 ? true : null
  backend_service = google_compute_region_backend_service.this[0].id
  labels          = var.labels
}

resource "google_compute_firewall" "clients" {
  count = length(local.machines)

  project       = var.project_id
  name          = "${var.name}-clients"
  description   = "Clients to the edges."
  network       = var.machines.network
  direction     = "INGRESS"
  priority      = 1000
  source_ranges = ["0.0.0.0/0"]
  target_tags   = [var.machines.tag]

  allow {
    protocol = "tcp"
    ports    = var.ports
  }

  dynamic "allow" {
    for_each = var.http3 ? ["443"] : []

    content {
      protocol = "udp"
      ports    = [allow.value]
    }
  }

  log_config {
    metadata = "INCLUDE_ALL_METADATA"
  }
}

resource "google_compute_firewall" "probes" {
  count = length(local.machines)

  project       = var.project_id
  name          = "${var.name}-probes"
  description   = "Google's health checks to /readyz."
  network       = var.machines.network
  direction     = "INGRESS"
  priority      = 1000
  source_ranges = local.probes
  target_tags   = [var.machines.tag]

  allow {
    protocol = "tcp"
    ports    = [tostring(var.machines.admin_port)]
  }

  log_config {
    metadata = "INCLUDE_ALL_METADATA"
  }
}
