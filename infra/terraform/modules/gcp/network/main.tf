# One VPC in one region: a private subnet for nodes and pods, a public one for machines that face clients, and the
# subnets that private endpoints and Google's proxies need. Routes to the Internet are in routes.tf, what may enter in
# firewall.tf, private endpoints in endpoints.tf.

locals {
  # Offsets in the /16, so that no environment repeats the arithmetic.
  private_cidr   = cidrsubnet(var.cidr, 4, 0)    # x.y.0.0/20
  public_cidr    = cidrsubnet(var.cidr, 4, 1)    # x.y.16.0/20
  endpoints_cidr = cidrsubnet(var.cidr, 8, 32)   # x.y.32.0/24
  proxies_cidr   = cidrsubnet(var.cidr, 7, 17)   # x.y.34.0/23
  apis_address   = cidrhost(var.cidr, 255 * 256) # x.y.255.0, in no subnet: Google asks for that

  egress_tag = "${var.name}-egress"
  public_tag = "${var.name}-public"
}

resource "google_compute_network" "this" {
  project                         = var.project_id
  name                            = var.name
  description                     = "Network of ${var.name}."
  auto_create_subnetworks         = false
  routing_mode                    = "REGIONAL"
  mtu                             = 1460
  delete_default_routes_on_create = true
}

resource "google_compute_subnetwork" "private" {
  project                  = var.project_id
  name                     = "${var.name}-private"
  description              = "Nodes and pods; nothing here has an external address."
  region                   = var.region
  network                  = google_compute_network.this.id
  ip_cidr_range            = local.private_cidr
  private_ip_google_access = true

  secondary_ip_range {
    range_name    = "pods"
    ip_cidr_range = var.pods_cidr
  }

  secondary_ip_range {
    range_name    = "services"
    ip_cidr_range = var.services_cidr
  }

  log_config {
    aggregation_interval = "INTERVAL_30_SEC"
    flow_sampling        = var.flow_log_sampling
    metadata             = "INCLUDE_ALL_METADATA"
  }

  lifecycle {
    # Google finds an overlap only when the second range is created, after the first half of an apply.
    precondition {
      condition     = !local.cluster_ranges_overlap
      error_message = "pods_cidr ${var.pods_cidr} and services_cidr ${var.services_cidr} overlap."
    }
  }
}

resource "google_compute_subnetwork" "public" {
  project                  = var.project_id
  name                     = "${var.name}-public"
  description              = "Machines that face clients: edges without Kubernetes."
  region                   = var.region
  network                  = google_compute_network.this.id
  ip_cidr_range            = local.public_cidr
  private_ip_google_access = true

  log_config {
    aggregation_interval = "INTERVAL_30_SEC"
    flow_sampling        = var.flow_log_sampling
    metadata             = "INCLUDE_ALL_METADATA"
  }
}

resource "google_compute_subnetwork" "endpoints" {
  project                  = var.project_id
  name                     = "${var.name}-endpoints"
  description              = "Private Service Connect endpoints of Cloud SQL and Memorystore."
  region                   = var.region
  network                  = google_compute_network.this.id
  ip_cidr_range            = local.endpoints_cidr
  private_ip_google_access = true

  log_config {
    aggregation_interval = "INTERVAL_30_SEC"
    flow_sampling        = var.flow_log_sampling
    metadata             = "INCLUDE_ALL_METADATA"
  }
}

# Google's own proxies stand here (Gateway API with a regional class). The subnet has no hosts, so it has no flow log.
resource "google_compute_subnetwork" "proxies" {
  project       = var.project_id
  name          = "${var.name}-proxies"
  description   = "Reserved for Google's managed proxies."
  region        = var.region
  network       = google_compute_network.this.id
  ip_cidr_range = local.proxies_cidr
  purpose       = "REGIONAL_MANAGED_PROXY"
  role          = "ACTIVE"
}

locals {
  # Two ranges overlap when both, cut to the shorter prefix, begin at the same address.
  shorter_prefix = min(tonumber(split("/", var.pods_cidr)[1]), tonumber(split("/", var.services_cidr)[1]))
  cluster_ranges_overlap = (
    cidrhost("${split("/", var.pods_cidr)[0]}/${local.shorter_prefix}", 0) ==
    cidrhost("${split("/", var.services_cidr)[0]}/${local.shorter_prefix}", 0)
  )
}
