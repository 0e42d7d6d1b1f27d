# What others are given.

output "region" {
  description = "Everything that DNS, the charts and other clouds are given: see modules/aws/region."
  value       = module.region
}
