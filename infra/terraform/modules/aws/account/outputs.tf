# What pipelines and charts are given.

output "repositories" {
  description = "Address of each image repository."
  value       = module.ecr.repositories
}
