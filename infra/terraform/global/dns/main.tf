# DNS names of the edges. DNS names edges only; the edges choose the region per request.
#
# Health checks ask every address from outside, over TLS, with the name that clients use. DNS leaves unhealthy addresses out
# of its answers; if all are unhealthy, DNS returns all. Resolvers keep an answer for its TTL, so DNS failover is slow; the
# anycast address, or the client's next address, is the fast way.
#
# Use a provider in us-east-1: Route 53 keeps keys, logs and alarms of zones there.
locals {
  fqdns = { for host in var.hosts : host => host == "" ? var.zone : "${host}.${var.zone}" }
  # The host name that health checks send.
  name = local.fqdns[sort(var.hosts)[0]]

  families = merge([
    for edge, of in var.edges : {
      for type, list in { A = of.ipv4, AAAA = of.ipv6 } : "${edge}-${lower(type)}" => { edge = edge, type = type, addresses = list } if length(list) > 0
    }
  ]...)
  addresses = merge([
    for family, of in local.families : { for index, address in of.addresses : "${family}-${index}" => merge(of, { family = family, address = address }) }
  ]...)

  # steering = "all": a record per address. Otherwise a record per edge and family, which stands while one address does.
  answers = merge(
    {
      for pair in setproduct(keys(local.fqdns), keys(local.addresses)) : "${pair[0]}/${pair[1]}" => {
        fqdn    = local.fqdns[pair[0]], id = pair[1], edge = local.addresses[pair[1]].edge, type = local.addresses[pair[1]].type,
        records = [local.addresses[pair[1]].address], health = aws_route53_health_check.address[pair[1]].id
      } if var.steering == "all"
    },
    {
      for pair in setproduct(keys(local.fqdns), keys(local.families)) : "${pair[0]}/${pair[1]}" => {
        fqdn    = local.fqdns[pair[0]], id = pair[1], edge = local.families[pair[1]].edge, type = local.families[pair[1]].type,
        records = local.families[pair[1]].addresses, health = aws_route53_health_check.edge[pair[1]].id
      } if var.steering != "all"
    },
  )
}

resource "aws_route53_zone" "this" {
  name          = var.zone
  comment       = "Names of Thalweg's edges"
  force_destroy = false
}

resource "aws_route53_health_check" "address" {
  for_each = local.addresses

  type              = "HTTPS"
  ip_address        = each.value.address
  fqdn              = local.name
  port              = 443
  enable_sni        = true
  resource_path     = var.health.path
  request_interval  = var.health.interval_s
  failure_threshold = var.health.fall
  measure_latency   = false
  tags              = { Name = each.key, Edge = each.value.edge }
}

resource "aws_route53_health_check" "edge" {
  for_each = var.steering == "all" ? {} : local.families

  type                   = "CALCULATED"
  child_health_threshold = 1
  child_healthchecks     = [for key, of in local.addresses : aws_route53_health_check.address[key].id if of.family == each.key]
  tags                   = { Name = each.key, Edge = each.value.edge }
}

resource "aws_route53_record" "edges" {
  for_each = local.answers

  zone_id                          = aws_route53_zone.this.zone_id
  name                             = each.value.fqdn
  type                             = each.value.type
  ttl                              = var.ttl_s
  records                          = each.value.records
  set_identifier                   = each.value.id
  health_check_id                  = each.value.health
  multivalue_answer_routing_policy = var.steering == "all" ? true : null

  dynamic "latency_routing_policy" {
    for_each = var.steering == "latency" ? [var.edges[each.value.edge].region] : []
    content {
      region = latency_routing_policy.value
    }
  }
  dynamic "weighted_routing_policy" {
    for_each = var.steering == "weighted" ? [var.edges[each.value.edge].weight] : []
    content {
      weight = weighted_routing_policy.value
    }
  }
}

resource "aws_route53_record" "caa" {
  zone_id = aws_route53_zone.this.zone_id
  name    = var.zone
  type    = "CAA"
  ttl     = 3600
  records = concat(
    [for authority in var.certificate_authorities : "0 issue \"${authority}\""],
    # No wildcard: each name has a certificate of its own.
    ["0 issuewild \";\"", "0 iodef \"mailto:${var.certificate_contact}\""],
  )
}
