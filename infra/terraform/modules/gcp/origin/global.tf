# The same three for a global balancer, which GKE makes for an Ingress.

resource "google_compute_global_address" "this" {
  for_each = local.regional ? [] : var.releases

  project      = var.project_id
  name         = each.key
  description  = "Origin ${each.key}, for the edges."
  address_type = "EXTERNAL"
  labels       = var.labels
}

resource "google_compute_ssl_policy" "this" {
  count = local.regional ? 0 : 1

  project         = var.project_id
  name            = local.tls_policy
  description     = "TLS 1.2 or newer, forward secrecy only."
  profile         = "RESTRICTED"
  min_tls_version = "TLS_1_2"
}

resource "google_compute_security_policy" "this" {
  count = local.regional ? 0 : 1

  project     = var.project_id
  name        = local.allow_policy
  description = "Allows the edges; refuses attacks and all other clients."
  type        = "CLOUD_ARMOR"

  advanced_options_config {
    json_parsing = "STANDARD"
    log_level    = "NORMAL"
  }

  # Written out, because scanners look for this one.
  rule {
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

  dynamic "rule" {
    for_each = local.attacks

    content {
      action      = "deny(403)"
      priority    = tonumber(rule.key)
      description = rule.value.what
      preview     = var.waf_preview

      match {
        expr {
          expression = "evaluatePreconfiguredWaf('${rule.value.set}', {'sensitivity': 1})"
        }
      }
    }
  }

  dynamic "rule" {
    for_each = local.allowed

    content {
      action      = "allow"
      priority    = tonumber(rule.key)
      description = "edges"

      match {
        versioned_expr = "SRC_IPS_V1"

        config {
          src_ip_ranges = rule.value
        }
      }
    }
  }

  rule {
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
