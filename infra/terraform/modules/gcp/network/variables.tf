# What a caller says about the network of one environment in one region.

variable "project_id" {
  description = "Project that holds the network."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id is 6 to 30 lower-case letters, digits and hyphens, begins with a letter and does not end with a hyphen."
  }
}

variable "name" {
  description = "Prefix of every name in the network, for example production-europe-west1."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,38}[a-z0-9]$", var.name))
    error_message = "name is 3 to 40 lower-case letters, digits and hyphens: longer ones do not fit Google's 63 characters with a suffix."
  }
}

variable "region" {
  description = "Region of the subnets, the router and the egress addresses."
  type        = string

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "region is a Google Cloud region such as europe-west1, not a zone."
  }
}

variable "cidr" {
  description = "The /16 of this environment and region in the address plan. The private subnet takes its first /20, the public one its second, endpoints and proxies the rest."
  type        = string

  validation {
    condition     = can(cidrhost(var.cidr, 0)) && endswith(var.cidr, "/16") && startswith(var.cidr, "10.")
    error_message = "cidr is a /16 inside 10.0.0.0/8, such as 10.20.0.0/16."
  }

  validation {
    condition     = try(cidrsubnet(var.cidr, 0, 0) == var.cidr, false)
    error_message = "cidr has bits set behind its prefix: write the network's first address."
  }
}

variable "pods_cidr" {
  description = "Range of the cluster's pods, a /17 or larger of 100.64.0.0/10 that no other cluster uses."
  type        = string

  validation {
    condition     = can(regex("^100\\.(6[4-9]|[7-9][0-9]|1[01][0-9]|12[0-7])\\.", var.pods_cidr)) && try(tonumber(split("/", var.pods_cidr)[1]) <= 17, false)
    error_message = "pods_cidr is a /17 or larger inside 100.64.0.0/10, such as 100.64.0.0/17."
  }
}

variable "services_cidr" {
  description = "Range of the cluster's Services, a /20 or larger of 100.64.0.0/10 beside the pods."
  type        = string

  validation {
    condition     = can(regex("^100\\.(6[4-9]|[7-9][0-9]|1[01][0-9]|12[0-7])\\.", var.services_cidr)) && try(tonumber(split("/", var.services_cidr)[1]) <= 20, false)
    error_message = "services_cidr is a /20 or larger inside 100.64.0.0/10, such as 100.64.128.0/20."
  }
}

variable "egress_addresses" {
  description = "How many fixed addresses NAT uses. They are what other clouds' origins allow, so they never change by themselves."
  type        = number
  default     = 2

  validation {
    condition     = var.egress_addresses >= 1 && var.egress_addresses <= 16 && floor(var.egress_addresses) == var.egress_addresses
    error_message = "egress_addresses is a whole number from 1 to 16."
  }
}

variable "max_ports_per_vm" {
  description = "Upper bound of the ports that NAT lends to one node, a power of two. One edge node needs as many as it has connections to one origin address."
  type        = number
  default     = 32768

  validation {
    condition     = contains([1024, 2048, 4096, 8192, 16384, 32768, 65536], var.max_ports_per_vm)
    error_message = "max_ports_per_vm is a power of two from 1024 to 65536."
  }
}

variable "flow_log_sampling" {
  description = "Share of the flows that the flow log keeps, from 0.01 to 1."
  type        = number
  default     = 0.5

  validation {
    condition     = var.flow_log_sampling >= 0.01 && var.flow_log_sampling <= 1
    error_message = "flow_log_sampling is between 0.01 and 1: flow logs cannot be switched off here."
  }
}

variable "labels" {
  description = "Labels of everything that can carry some; environment and owner are required."
  type        = map(string)

  validation {
    condition     = alltrue([for key in ["environment", "owner"] : contains(keys(var.labels), key)])
    error_message = "labels has at least the keys environment and owner."
  }

  validation {
    condition     = alltrue([for key, value in var.labels : can(regex("^[a-z][a-z0-9_-]{0,62}$", key)) && can(regex("^[a-z0-9_-]{0,63}$", value))])
    error_message = "Label keys and values are lower-case letters, digits, hyphens and underscores, at most 63 of them."
  }
}
