# What the application is given.

output "host" {
  description = "Address of the cache inside the network; the port is 6379."
  value       = google_memorystore_instance.this.endpoints[0].connections[0].psc_auto_connection[0].ip_address
}

output "ca_certificates" {
  description = "Certificates that a client verifies the cache with."
  value       = flatten([for ca in google_memorystore_instance.this.managed_server_ca : [for certificates in ca.ca_certs : certificates.certificates]])
}
