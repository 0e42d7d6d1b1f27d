# Inputs of the zone and of the names that lead to edges.
variable "zone" {
  description = "Domain of the zone, for example example.com; the registrar delegates it to the name servers in the outputs."
  type        = string
  validation {
    condition     = can(regex("^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\\.)+[a-z]{2,}$", var.zone))
    error_message = "zone must be a domain in lower case without a final dot, for example example.com."
  }
}

variable "hosts" {
  description = "Names below the zone that clients use, for example api; \"\" is the zone itself."
  type        = set(string)
  default     = ["api"]
  validation {
    condition     = length(var.hosts) > 0 && alltrue([for host in var.hosts : can(regex("^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*)?$", host))])
    error_message = "hosts must hold at least one name in lower case, relative to the zone and without a wildcard: a wildcard has no certificate of its own."
  }
}

variable "edges" {
  description = <<-EOT
    Edges by name: their public addresses (outputs of the environments), and, for steering = "latency", the AWS region nearest
    to them; for steering = "weighted", their weight.
  EOT
  type = map(object({
    ipv4   = list(string)
    ipv6   = optional(list(string), [])
    region = optional(string)
    weight = optional(number, 100)
  }))
  validation {
    condition     = length(var.edges) > 0 && alltrue(flatten([for edge in values(var.edges) : [length(edge.ipv4) > 0, [for address in edge.ipv4 : can(cidrnetmask("${address}/32"))]]]))
    error_message = "edges must hold at least one edge, each with at least one IPv4 address."
  }
  validation {
    condition     = alltrue([for edge in values(var.edges) : edge.weight >= 0 && edge.weight <= 255])
    error_message = "A weight in edges must be 0 to 255."
  }
}

variable "steering" {
  description = <<-EOT
    How DNS names the edges. "all": every answer holds all healthy addresses (up to eight), clients try another when one is
    silent; with one anycast address there is one. "latency": the edge of the nearest AWS region; "weighted": by weight.
    The last two are what the edge does better per request: they move clients only as fast as resolvers forget.
  EOT
  type        = string
  default     = "all"
  validation {
    condition     = contains(["all", "latency", "weighted"], var.steering)
    error_message = "steering must be \"all\", \"latency\" or \"weighted\"."
  }
  validation {
    condition     = var.steering != "latency" || (alltrue([for edge in values(var.edges) : edge.region != null]) && length(distinct(values(var.edges)[*].region)) == length(var.edges))
    error_message = "steering = \"latency\" needs a region for each of the edges, and no region twice."
  }
}

variable "ttl_s" {
  description = "How long resolvers may keep an answer. It bounds how long a dead edge is still named, so short; not shorter, or every visit waits for DNS."
  type        = number
  default     = 60
  validation {
    condition     = var.ttl_s >= 30 && var.ttl_s <= 300
    error_message = "ttl_s must be 30 to 300."
  }
}

variable "health" {
  description = "What is asked of each address from outside: a path that the edges pass to the application, how often (10 or 30 s), how many noes."
  type        = object({ path = optional(string, "/health"), interval_s = optional(number, 10), fall = optional(number, 2) })
  default     = {}
  validation {
    condition     = startswith(var.health.path, "/") && contains([10, 30], var.health.interval_s) && var.health.fall >= 1 && var.health.fall <= 10
    error_message = "health needs a path that begins with /, an interval_s of 10 or 30, and a fall of 1 to 10."
  }
}

variable "certificate_authorities" {
  description = "Authorities that may issue certificates for the zone (CAA), for example letsencrypt.org; no other may."
  type        = list(string)
  default     = ["letsencrypt.org"]
  validation {
    condition     = length(var.certificate_authorities) > 0 && alltrue([for authority in var.certificate_authorities : can(regex("^[a-z0-9.-]+\\.[a-z]{2,}$", authority))])
    error_message = "certificate_authorities must hold at least one authority's domain, such as letsencrypt.org: without CAA every authority may issue."
  }
}

variable "certificate_contact" {
  description = "Address that authorities tell of requests they refused."
  type        = string
  validation {
    condition     = can(regex("^[^@ ]+@[^@ ]+$", var.certificate_contact))
    error_message = "certificate_contact must be an e-mail address."
  }
}

variable "query_log_days" {
  description = "How long queries are kept."
  type        = number
  default     = 365
  validation {
    condition     = contains([30, 60, 90, 180, 365], var.query_log_days)
    error_message = "query_log_days must be 30, 60, 90, 180 or 365."
  }
}
