# The database's address in this network, and the name under which clients verify its certificate. Google creates the
# name; the record belongs to the network that has the endpoint.

resource "google_compute_address" "this" {
  project      = var.project_id
  name         = "${var.name}-sql"
  description  = "Database ${var.name}."
  region       = var.region
  address_type = "INTERNAL"
  subnetwork   = var.endpoints_subnet
  labels       = var.labels
}

resource "google_compute_forwarding_rule" "this" {
  project                 = var.project_id
  name                    = "${var.name}-sql"
  description             = "Database ${var.name}."
  region                  = var.region
  network                 = var.network
  subnetwork              = var.endpoints_subnet
  ip_address              = google_compute_address.this.id
  load_balancing_scheme   = ""
  target                  = google_sql_database_instance.this.psc_service_attachment_link
  allow_psc_global_access = false
  labels                  = var.labels
}

resource "google_dns_managed_zone" "this" {
  project     = var.project_id
  name        = "${var.name}-sql"
  description = "Database ${var.name}, inside this network."
  dns_name    = google_sql_database_instance.this.dns_name
  visibility  = "private"
  labels      = var.labels

  private_visibility_config {
    networks {
      network_url = var.network
    }
  }
}

resource "google_dns_record_set" "this" {
  project      = var.project_id
  managed_zone = google_dns_managed_zone.this.name
  name         = google_sql_database_instance.this.dns_name
  type         = "A"
  ttl          = 60
  rrdatas      = [google_compute_address.this.address]
}
