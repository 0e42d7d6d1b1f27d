# Private ways to Google (Private Service Connect): its APIs by an address of this network, and the endpoints of caches,
# which Google places into the endpoints subnet as soon as one asks; modules/gcp/cloud-sql places its own. No peering,
# so no range of this network is lent to a producer.

resource "google_compute_global_address" "apis" {
  project      = var.project_id
  name         = "${var.name}-apis"
  description  = "Google's APIs inside this network."
  network      = google_compute_network.this.id
  address_type = "INTERNAL"
  purpose      = "PRIVATE_SERVICE_CONNECT"
  address      = local.apis_address
  labels       = var.labels
}

resource "google_compute_global_forwarding_rule" "apis" {
  project = var.project_id
  # Google limits the name of such a rule to 20 letters and digits.
  name                  = substr("apis${replace(var.name, "-", "")}", 0, 20)
  description           = "Google's APIs inside this network."
  network               = google_compute_network.this.id
  ip_address            = google_compute_global_address.apis.id
  target                = "all-apis"
  load_balancing_scheme = ""
  labels                = var.labels
}

locals {
  # Names that must not leave the network: APIs and images.
  private_zones = toset(["googleapis.com", "pkg.dev", "gcr.io"])
}

resource "google_dns_managed_zone" "apis" {
  for_each = local.private_zones

  project     = var.project_id
  name        = "${var.name}-${replace(each.key, ".", "-")}"
  description = "${each.key} inside this network."
  dns_name    = "${each.key}."
  visibility  = "private"
  labels      = var.labels

  private_visibility_config {
    networks {
      network_url = google_compute_network.this.id
    }
  }
}

resource "google_dns_record_set" "apis" {
  for_each = local.private_zones

  project      = var.project_id
  managed_zone = google_dns_managed_zone.apis[each.key].name
  name         = "${each.key}."
  type         = "A"
  ttl          = 300
  rrdatas      = [local.apis_address]
}

resource "google_dns_record_set" "apis_below" {
  for_each = local.private_zones

  project      = var.project_id
  managed_zone = google_dns_managed_zone.apis[each.key].name
  name         = "*.${each.key}."
  type         = "CNAME"
  ttl          = 300
  rrdatas      = ["${each.key}."]
}

resource "google_network_connectivity_service_connection_policy" "cache" {
  project       = var.project_id
  name          = "${var.name}-cache"
  description   = "Lets Memorystore place endpoints into this network."
  location      = var.region
  service_class = "gcp-memorystore"
  network       = google_compute_network.this.id
  labels        = var.labels

  psc_config {
    subnetworks = [google_compute_subnetwork.endpoints.id]
    limit       = "16"
  }
}

# Queries are logged: the only trace of a pod that asks for a name it has no business with.
resource "google_dns_policy" "this" {
  project        = var.project_id
  name           = var.name
  description    = "Logs the queries of this network."
  enable_logging = true

  networks {
    network_url = google_compute_network.this.id
  }
}
