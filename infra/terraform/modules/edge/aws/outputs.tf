# What DNS and the chart are given.

output "addresses" {
  description = "The fixed addresses, for `global/dns`."
  value       = [for address in aws_eip.this : address.public_ip]
}

output "annotations" {
  description = "Annotations for `service.annotations` of the edge's chart, beside those of values-aws.yaml."
  value = {
    "service.beta.kubernetes.io/aws-load-balancer-name"                                = "${trim(substr(trimprefix(var.name, "thalweg-"), 0, 27), "-")}-edge"
    "service.beta.kubernetes.io/aws-load-balancer-subnets"                             = join(",", values(var.subnets))
    "service.beta.kubernetes.io/aws-load-balancer-eip-allocations"                     = join(",", [for zone in keys(var.subnets) : aws_eip.this[zone].allocation_id])
    "service.beta.kubernetes.io/aws-load-balancer-security-groups"                     = aws_security_group.balancer.id
    "service.beta.kubernetes.io/aws-load-balancer-manage-backend-security-group-rules" = "false"
  }
}
