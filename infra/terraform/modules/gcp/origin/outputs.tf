# What the chart and DNS are given.

output "addresses" {
  description = "Address of each release, for the region's own name in DNS."
  value       = merge({ for release, address in google_compute_address.this : release => address.address }, { for release, address in google_compute_global_address.this : release => address.address })
}

output "tls_policy" {
  description = "Name of the TLS policy: the chart's gateway.tlsPolicy."
  value       = local.tls_policy
}

output "allow_policy" {
  description = "Name of the policy that lets the edges in: the chart's gateway.allowPolicy."
  value       = local.allow_policy
}
