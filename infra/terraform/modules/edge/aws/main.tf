# The fixed addresses of one region's edges, and the security group of their layer-4 balancer: 443 from everywhere, and
# no other port: TCP, and with `http3` UDP as well.
#
# The balancer itself is made by the AWS Load Balancer Controller from the edge's Service, with the annotations of the
# output `annotations`: pods are targets, so the client's address arrives. The addresses outlive the Service, the cluster
# and every release; `global/dns` names them.
#
# These addresses belong to this region. AWS Global Accelerator offers one anycast address for several AWS regions, but a
# cloud's anycast reaches that cloud only, and a prefix of your own (`address_pool`) is announced by one cloud at a time.
# One address over several clouds needs an own autonomous system on machines that speak BGP: `modules/edge/bgp`.

resource "aws_eip" "this" {
  for_each = var.subnets

  domain           = "vpc"
  public_ipv4_pool = var.address_pool
  tags             = { Name = "${var.name}-edge-${each.key}" }

  lifecycle {
    # DNS, allow-lists and clients depend on these addresses.
    prevent_destroy = true
  }
}

resource "aws_security_group" "balancer" {
  name        = "${var.name}-edge"
  description = "Clients of the edges of ${var.name}"
  vpc_id      = var.network
  tags        = { Name = "${var.name}-edge" }
}

resource "aws_vpc_security_group_ingress_rule" "clients" {
  security_group_id = aws_security_group.balancer.id
  description       = "Everyone, to TLS"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  tags              = { Name = "${var.name}-edge-clients" }
}

resource "aws_vpc_security_group_ingress_rule" "quic" {
  count = var.http3 ? 1 : 0

  security_group_id = aws_security_group.balancer.id
  description       = "Everyone, to HTTP/3"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "udp"
  from_port         = 443
  to_port           = 443
  tags              = { Name = "${var.name}-edge-quic" }
}

# The balancer sends traffic and health checks to this port.
resource "aws_vpc_security_group_egress_rule" "edges" {
  security_group_id            = aws_security_group.balancer.id
  description                  = "The edges"
  referenced_security_group_id = var.node_security_group
  ip_protocol                  = "tcp"
  from_port                    = var.edge_port
  to_port                      = var.edge_port
  tags                         = { Name = "${var.name}-edge-pods" }
}

resource "aws_vpc_security_group_ingress_rule" "edges" {
  security_group_id            = var.node_security_group
  description                  = "From the edges' balancer"
  referenced_security_group_id = aws_security_group.balancer.id
  ip_protocol                  = "tcp"
  from_port                    = var.edge_port
  to_port                      = var.edge_port
  tags                         = { Name = "${var.name}-edge-pods" }
}

resource "aws_vpc_security_group_egress_rule" "quic" {
  count = var.http3 ? 1 : 0

  security_group_id            = aws_security_group.balancer.id
  description                  = "The edges, HTTP/3"
  referenced_security_group_id = var.node_security_group
  ip_protocol                  = "udp"
  from_port                    = var.edge_port
  to_port                      = var.edge_port
  tags                         = { Name = "${var.name}-edge-pods-quic" }
}

resource "aws_vpc_security_group_ingress_rule" "quic_edges" {
  count = var.http3 ? 1 : 0

  security_group_id            = var.node_security_group
  description                  = "HTTP/3 from the edges' balancer"
  referenced_security_group_id = aws_security_group.balancer.id
  ip_protocol                  = "udp"
  from_port                    = var.edge_port
  to_port                      = var.edge_port
  tags                         = { Name = "${var.name}-edge-pods-quic" }
}
