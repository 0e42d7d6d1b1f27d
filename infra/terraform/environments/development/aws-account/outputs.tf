# What others are given.

output "account" {
  description = "What pipelines are given: see modules/aws/account."
  value       = module.account
}
