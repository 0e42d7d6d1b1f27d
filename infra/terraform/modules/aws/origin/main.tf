# The security group of one region's application balancer: it allows TLS from the edges' fixed addresses only. A client
# reaches the application through an edge or not at all.
#
# The balancer itself is made by the AWS Load Balancer Controller from the application's Ingress, with the annotations of
# the output `annotations`. They name the TLS policy too: 1.2 at least, forward secrecy only.

resource "aws_ec2_managed_prefix_list" "edges" {
  name           = "${var.name}-edges"
  address_family = "IPv4"
  # Each entry counts as one rule of every security group that names the list, used or not: AWS allows 60.
  max_entries = 40
  tags        = { Name = "${var.name}-edges" }

  dynamic "entry" {
    for_each = var.edges
    content {
      cidr        = entry.value
      description = entry.key
    }
  }
}

resource "aws_security_group" "balancer" {
  name        = "${var.name}-origin"
  description = "The edges, to the application of ${var.name}"
  vpc_id      = var.network
  tags        = { Name = "${var.name}-origin" }
}

resource "aws_vpc_security_group_ingress_rule" "edges" {
  security_group_id = aws_security_group.balancer.id
  description       = "The edges of all clouds, to TLS"
  prefix_list_id    = aws_ec2_managed_prefix_list.edges.id
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  tags              = { Name = "${var.name}-origin-edges" }
}

resource "aws_vpc_security_group_egress_rule" "nodes" {
  security_group_id            = aws_security_group.balancer.id
  description                  = "Node ports of the application"
  referenced_security_group_id = var.node_security_group
  ip_protocol                  = "tcp"
  from_port                    = 30000
  to_port                      = 32767
  tags                         = { Name = "${var.name}-origin-nodes" }
}

resource "aws_vpc_security_group_ingress_rule" "nodes" {
  security_group_id            = var.node_security_group
  description                  = "From the application's balancer, to node ports"
  referenced_security_group_id = aws_security_group.balancer.id
  ip_protocol                  = "tcp"
  from_port                    = 30000
  to_port                      = 32767
  tags                         = { Name = "${var.name}-origin-nodes" }
}
