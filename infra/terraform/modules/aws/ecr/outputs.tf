# Where images are pushed to.

output "repositories" {
  description = "Address of each repository, by name. In another region the region's part of the address differs and no more."
  value       = { for name, repository in aws_ecr_repository.this : name => repository.repository_url }
}
