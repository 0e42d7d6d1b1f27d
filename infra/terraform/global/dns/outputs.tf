# Values for the registrar, for certificates and for monitoring.
output "zone_id" {
  description = "The zone, for global/certificates."
  value       = aws_route53_zone.this.zone_id
}

output "name_servers" {
  description = "Name servers for the delegation at the registrar."
  value       = aws_route53_zone.this.name_servers
}

output "ds_record" {
  description = "DS record for the registrar; DNSSEC takes effect once the registrar publishes it."
  value       = aws_route53_key_signing_key.this.ds_record
}

output "hosts" {
  description = "Full names that clients use."
  value       = sort(values(local.fqdns))
}

output "health_checks" {
  description = "Health check of every address, for global/monitoring."
  value       = { for key, check in aws_route53_health_check.address : key => check.id }
}
