# What DNS, the charts and the other clouds are given.

output "region" {
  description = "Everything that modules/gcp/region puts out: addresses, cluster, images, accounts, stores."
  value       = module.region
}
