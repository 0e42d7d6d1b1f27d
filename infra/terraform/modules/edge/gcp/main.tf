# The layer-4 way to the edges of one region: a reserved address, and for edges on machines the passthrough balancer
# behind it. A passthrough balancer changes no packet: TLS ends in the edge, and the edge sees the client's address.
# With GKE the balancer is made for the chart's Service, which names this address.
#
# What it cannot do: an anycast address of Google reaches Google's balancers only, and a prefix that one brings along
# (BYOIP) is announced by one cloud at a time. One address over three clouds needs an own AS on machines that speak
# BGP: modules/edge/bgp. Otherwise DNS names one address per cloud.

locals {
  # Google's health checks of passthrough balancers.
  probes = ["35.191.0.0/16", "209.85.152.0/22", "209.85.204.0/22"]
}

resource "google_compute_address" "this" {
  project      = var.project_id
  name         = var.name
  description  = "Clients' way to the edges of ${var.region}; DNS names it."
  region       = var.region
  address_type = "EXTERNAL"
  network_tier = "PREMIUM"
  labels       = var.labels

  # Resolvers remember it, and some longer than its TTL.
  lifecycle {
    prevent_destroy = true
  }
}
