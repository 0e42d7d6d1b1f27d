# Where the domain is.

output "endpoint" {
  description = "Address inside the network."
  value       = aws_opensearch_domain.this.endpoint
}

output "arn" {
  description = "The domain, for policies of its clients (`es:ESHttp*`)."
  value       = aws_opensearch_domain.this.arn
}
