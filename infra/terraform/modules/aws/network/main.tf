# A region's network: three zones, each with a public subnet (balancers, NAT), a private one (nodes and pods, out through
# NAT, no way in) and one for data (no way in or out). AWS services are reached through endpoints, flow logs are kept
# under a key of their own.
#
# The NAT addresses are fixed: they are what other clouds' origins put on their allow-lists for the edges of this region.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  # Of a /16: three /18 for nodes and pods (each pod has an address of its own), the last /18 cut into /24 for the rest.
  private = { for index, zone in var.zones : zone => cidrsubnet(var.cidr, 2, index) }
  public  = { for index, zone in var.zones : zone => cidrsubnet(var.cidr, 8, 192 + index) }
  data    = { for index, zone in var.zones : zone => cidrsubnet(var.cidr, 8, 208 + index) }
  # Zones that have a NAT gateway, and the one that each zone uses.
  nat_zones = var.nat == "per-zone" ? var.zones : slice(var.zones, 0, 1)
  nat_of    = { for zone in var.zones : zone => contains(local.nat_zones, zone) ? zone : local.nat_zones[0] }
}

resource "aws_vpc" "this" {
  cidr_block           = var.cidr
  enable_dns_support   = true
  enable_dns_hostnames = true
  tags                 = { Name = var.name }
}

# A resource without a security group of its own gets this one, which allows no traffic.
resource "aws_default_security_group" "closed" {
  vpc_id = aws_vpc.this.id
  tags   = { Name = "${var.name}-default-closed" }
}

resource "aws_subnet" "public" {
  for_each = local.public

  vpc_id            = aws_vpc.this.id
  availability_zone = each.key
  cidr_block        = each.value
  # The tag by which the AWS Load Balancer Controller finds subnets for internet-facing balancers.
  tags = { Name = "${var.name}-public-${each.key}", "kubernetes.io/role/elb" = "1" }
}

resource "aws_subnet" "private" {
  for_each = local.private

  vpc_id            = aws_vpc.this.id
  availability_zone = each.key
  cidr_block        = each.value
  tags = {
    Name                              = "${var.name}-private-${each.key}"
    "kubernetes.io/role/internal-elb" = "1"
    # Karpenter and Auto Mode find nodes' subnets by this tag.
    "karpenter.sh/discovery" = var.name
  }
}

resource "aws_subnet" "data" {
  for_each = local.data

  vpc_id            = aws_vpc.this.id
  availability_zone = each.key
  cidr_block        = each.value
  tags              = { Name = "${var.name}-data-${each.key}" }
}
