# Inputs of one machine that announces the edge's address.
variable "name" {
  description = "Host name of the machine."
  type        = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,61}[a-z0-9]$", var.name))
    error_message = "name must be a host name: lower-case letters, digits and hyphens, at most 63."
  }
}

variable "router_id" {
  description = "IPv4 address that names this machine among BGP speakers; usually its own."
  type        = string
  validation {
    condition     = can(cidrnetmask("${var.router_id}/32"))
    error_message = "router_id must be an IPv4 address."
  }
}

variable "as_number" {
  description = "Your autonomous system. Its route to the prefixes needs an entry in the IRR and a ROA, or upstreams filter it."
  type        = number
  validation {
    condition     = var.as_number >= 1 && var.as_number <= 4294967294 && var.as_number != 23456
    error_message = "as_number must be 1 to 4294967294, and not 23456, which stands for numbers that do not fit."
  }
}

variable "anycast" {
  description = "Prefix to announce and address in it that clients connect to, per family; ipv6 is optional."
  type = object({
    ipv4 = object({ prefix = string, address = string })
    ipv6 = optional(object({ prefix = string, address = string }))
  })
  validation {
    condition = (
      can(cidrnetmask(var.anycast.ipv4.prefix)) && try(tonumber(split("/", var.anycast.ipv4.prefix)[1]) <= 24, false)
      && try(cidrhost("${var.anycast.ipv4.address}/${split("/", var.anycast.ipv4.prefix)[1]}", 0) == cidrhost(var.anycast.ipv4.prefix, 0), false)
    )
    error_message = "anycast.ipv4 must be a prefix of /24 or shorter and an address in it: the Internet filters longer ones."
  }
  validation {
    condition = var.anycast.ipv6 == null ? true : (
      try(tonumber(split("/", var.anycast.ipv6.prefix)[1]) <= 48, false)
      && try(cidrhost("${var.anycast.ipv6.address}/${split("/", var.anycast.ipv6.prefix)[1]}", 0) == cidrhost(var.anycast.ipv6.prefix, 0), false)
    )
    error_message = "anycast.ipv6 must be a prefix of /48 or shorter and an address in it: the Internet filters longer ones."
  }
}

variable "neighbors" {
  description = <<-EOT
    Routers of the provider that take the announcement, by name: their address and autonomous system, ours towards them,
    communities (AS:VALUE) to mark it with, prepend to make it less wanted. bfd only where the provider runs it too.
    A password for the session is no variable: put `password "...";` into /etc/bird/secret-NAME.conf on the machine.
  EOT
  type = map(object({
    address     = string
    as_number   = number
    source      = string
    multihop    = optional(number, 0)
    bfd         = optional(bool, false)
    communities = optional(list(string), [])
    prepend     = optional(number, 0)
  }))
  validation {
    condition     = length(var.neighbors) > 0 && alltrue([for name in keys(var.neighbors) : can(regex("^[a-z][a-z0-9_]{0,30}$", name))])
    error_message = "neighbors must hold at least one router, named by lower-case letters, digits and underscores as BIRD takes it."
  }
  validation {
    condition = alltrue([
      for of in values(var.neighbors) : can(cidrhost("${of.address}/${strcontains(of.address, ":") ? 128 : 32}", 0)) && can(cidrhost("${of.source}/${strcontains(of.source, ":") ? 128 : 32}", 0))
      && strcontains(of.address, ":") == strcontains(of.source, ":")
    ])
    error_message = "address and source of neighbors must be addresses of the same family."
  }
  validation {
    condition     = alltrue(flatten([for of in values(var.neighbors) : [for one in of.communities : can(regex("^[0-9]{1,5}:[0-9]{1,5}$", one))]]))
    error_message = "communities of neighbors must be AS:VALUE, each up to 65535, for example 64500:120."
  }
  validation {
    condition     = alltrue([for of in values(var.neighbors) : of.prepend >= 0 && of.prepend <= 5 && of.multihop >= 0 && of.multihop <= 16])
    error_message = "neighbors take prepend of 0 to 5 and multihop of 0 to 16."
  }
  validation {
    condition     = alltrue([for of in values(var.neighbors) : !strcontains(of.address, ":") || var.anycast.ipv6 != null])
    error_message = "neighbors holds a router of IPv6, and anycast has no IPv6 prefix for it."
  }
}

variable "follow" {
  description = "When to announce: after announce_after_s of uninterrupted readiness. When to withdraw: after `fall` failed checks in a row, interval_ms apart."
  type = object({
    readyz           = optional(string, "http://127.0.0.1:9900/readyz")
    interval_ms      = optional(number, 500)
    timeout_ms       = optional(number, 500)
    fall             = optional(number, 2)
    announce_after_s = optional(number, 60)
  })
  default = {}
  validation {
    condition     = can(regex("^http://[^/]+/", var.follow.readyz))
    error_message = "follow.readyz must be an http:// address of the edge's admin listener."
  }
  validation {
    condition     = var.follow.interval_ms >= 100 && var.follow.interval_ms <= 10000 && var.follow.timeout_ms >= 100 && var.follow.timeout_ms <= 10000 && var.follow.fall >= 1
    error_message = "follow takes interval_ms and timeout_ms of 100 to 10000 and a fall of at least 1."
  }
  validation {
    condition     = var.follow.announce_after_s >= 10
    error_message = "follow.announce_after_s must be at least 10: a path that comes back resets flows of other edges, so an edge that flaps hurts their clients."
  }
}

variable "package" {
  description = "Debian package of the edge: where the machine fetches it and its SHA-256."
  type        = object({ url = string, sha256 = string })
  validation {
    condition     = startswith(var.package.url, "https://") && can(regex("^[0-9a-f]{64}$", var.package.sha256))
    error_message = "package needs an https:// url and the sha256 of what lies there, 64 hexadecimal digits."
  }
}

variable "config" {
  description = "The edge's thalweg.toml. It holds no secret: keys for TLS are put on the machine by the certificates' agent."
  type        = string
  validation {
    condition     = strcontains(var.config, "[[listener]]") && !strcontains(var.config, "PRIVATE KEY")
    error_message = "config must be a thalweg.toml with a listener, and must not hold a private key: user data is readable on the machine and kept in state."
  }
}

variable "admin_cidrs" {
  description = "Ranges that reach SSH. All clients reach port 443 of the announced addresses, neighbors reach BGP and BFD, and every other port is closed."
  type        = list(string)
  validation {
    condition     = alltrue([for cidr in var.admin_cidrs : can(cidrnetmask(cidr)) && !endswith(cidr, "/0")])
    error_message = "admin_cidrs must be IPv4 ranges, and never all addresses."
  }
}

variable "http3" {
  description = "Whether clients reach port 443 over UDP as well: where a listener has the protocol `h3`."
  type        = bool
  default     = false
}
