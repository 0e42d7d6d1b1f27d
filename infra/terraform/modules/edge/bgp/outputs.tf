# The rendered user data and files.
output "user_data" {
  description = "cloud-init for the machine: user_data of most providers."
  value       = "#cloud-config\n${yamlencode(local.cloud_config)}"
}

output "user_data_gzip" {
  description = "The same, compressed and base64-encoded, for providers that take little (16 KB)."
  value       = base64gzip("#cloud-config\n${yamlencode(local.cloud_config)}")
}

output "files" {
  description = "Files of the machine by path, for a machine that is set up by other means."
  value       = { for path, of in local.written : path => of.content }
}
