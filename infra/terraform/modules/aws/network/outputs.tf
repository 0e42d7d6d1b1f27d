# What other modules build on.

output "id" {
  description = "The network."
  value       = aws_vpc.this.id
}

output "cidr" {
  description = "Its addresses."
  value       = aws_vpc.this.cidr_block
}

output "public_subnets" {
  description = "Public subnets by zone: balancers."
  value       = { for zone, subnet in aws_subnet.public : zone => subnet.id }
}

output "private_subnets" {
  description = "Private subnets by zone: nodes and pods."
  value       = { for zone, subnet in aws_subnet.private : zone => subnet.id }
}

output "private_cidrs" {
  description = "Addresses of nodes and pods, for rules that let them in."
  value       = values(local.private)
}

output "data_subnets" {
  description = "Subnets without a way in or out by zone: databases and caches."
  value       = { for zone, subnet in aws_subnet.data : zone => subnet.id }
}

output "nat_addresses" {
  description = "Addresses from which this region's edges reach origins of other regions: entries for their allow-lists."
  value       = [for address in aws_eip.nat : "${address.public_ip}/32"]
}
