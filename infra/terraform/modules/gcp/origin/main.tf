# The way to one region's application: a reserved address, a policy that answers the edges of every cloud and no other
# client, and a TLS policy. The balancer itself is made by GKE for the chart's Gateway or Ingress, which name these
# three.
#
# Why a TLS policy: Google's default accepts TLS 1.0. Why attacks are looked for behind an allow-list: an edge passes
# on what a client sent.

locals {
  regional = var.scope == "regional"
  # The names that the chart asks for (gateway.tlsPolicy, gateway.allowPolicy).
  tls_policy   = "edges-tls"
  allow_policy = "edges-only"

  # Google takes ten addresses in one rule. Sorted, so that one more address changes one rule.
  allowed = { for index, addresses in chunklist(sort(tolist(var.edges)), 10) : 2000 + index => addresses }

  attacks = {
    1000 = { set = "sqli-v33-stable", what = "SQL injection" }
    1001 = { set = "xss-v33-stable", what = "cross-site scripting" }
    1002 = { set = "lfi-v33-stable", what = "local file inclusion" }
    1003 = { set = "rfi-v33-stable", what = "remote file inclusion" }
    1004 = { set = "rce-v33-stable", what = "remote code execution" }
    1005 = { set = "protocolattack-v33-stable", what = "request smuggling and the like" }
  }
}

resource "google_compute_address" "this" {
  for_each = local.regional ? var.releases : []

  project      = var.project_id
  name         = each.key
  description  = "Origin ${each.key}, for the edges."
  region       = var.region
  address_type = "EXTERNAL"
  network_tier = "PREMIUM"
  labels       = var.labels
}

resource "google_compute_region_ssl_policy" "this" {
  count = local.regional ? 1 : 0

  project         = var.project_id
  name            = local.tls_policy
  description     = "TLS 1.2 or newer, forward secrecy only."
  region          = var.region
  profile         = "RESTRICTED"
  min_tls_version = "TLS_1_2"
}

resource "google_compute_region_security_policy" "this" {
  count = local.regional ? 1 : 0

  project     = var.project_id
  name        = local.allow_policy
  description = "Allows the edges; refuses attacks and all other clients."
  region      = var.region
  type        = "CLOUD_ARMOR"

  advanced_options_config {
    json_parsing = "STANDARD"
    log_level    = "NORMAL"
  }

  # Written out, because scanners look for this one.
  rules {
    action      = "deny(403)"
    priority    = 900
    description = "Log4j and what followed"
    preview     = var.waf_preview

    match {
      expr {
        expression = "evaluatePreconfiguredWaf('cve-canary')"
      }
    }
  }

  dynamic "rules" {
    for_each = local.attacks

    content {
      action      = "deny(403)"
      priority    = tonumber(rules.key)
      description = rules.value.what
      preview     = var.waf_preview

      match {
        expr {
          expression = "evaluatePreconfiguredWaf('${rules.value.set}', {'sensitivity': 1})"
        }
      }
    }
  }

  dynamic "rules" {
    for_each = local.allowed

    content {
      action      = "allow"
      priority    = tonumber(rules.key)
      description = "edges"

      match {
        versioned_expr = "SRC_IPS_V1"

        config {
          src_ip_ranges = rules.value
        }
      }
    }
  }

  rules {
    action      = "deny(403)"
    priority    = 2147483647
    description = "all other clients"

    match {
      versioned_expr = "SRC_IPS_V1"

      config {
        src_ip_ranges = ["*"]
      }
    }
  }
}
