# Values for the registrar and the clusters.
output "name_servers" {
  description = "Name servers for the delegation at the registrar."
  value       = module.dns.name_servers
}

output "ds_record" {
  description = "DS record for the registrar."
  value       = module.dns.ds_record
}

output "issuers" {
  description = "dns01 solver of cert-manager's issuer, by cluster."
  value       = module.certificates.issuers
}
