# Inputs of the network: one virtual network per environment and region.
variable "name" {
  description = "Prefix of every resource's name, for example thalweg-production."
  type        = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,22}[a-z0-9]$", var.name))
    error_message = "name must be 4 to 24 lower-case letters, digits or hyphens, begin with a letter and not end with a hyphen."
  }
}

variable "resource_group" {
  description = "Resource group that holds everything of this environment and region."
  type        = object({ name = string, location = string })
}

variable "address_space" {
  description = "IPv4 range of the virtual network, a /16 of the project's address plan."
  type        = string
  validation {
    condition     = can(cidrnetmask(var.address_space)) && endswith(var.address_space, ".0.0/16") && startswith(var.address_space, "10.")
    error_message = "address_space must be a /16 below 10.0.0.0/8, for example 10.30.0.0/16: the subnets are cut from it."
  }
}

variable "pod_cidr" {
  description = "Range of the cluster's pods. They are in an overlay, but Azure's filters see their addresses between nodes."
  type        = string
  validation {
    condition     = can(cidrnetmask(var.pod_cidr)) && startswith(var.pod_cidr, "100.")
    error_message = "pod_cidr must be an IPv4 range of 100.64.0.0/10, for example 100.65.0.0/17: it overlaps no network of any cloud."
  }
}

variable "edge_addresses" {
  description = "Public addresses of this region's edges. Clients reach them on port 443 and nothing else."
  type        = list(string)
  validation {
    condition     = length(var.edge_addresses) > 0
    error_message = "edge_addresses must name at least one address: module edge/azure reserves them."
  }
}

variable "origin_addresses" {
  description = "Public addresses of this region's balancer in front of the application; empty where it is internal."
  type        = list(string)
  default     = []
}

variable "edge_egress_cidrs" {
  description = "Fixed egress ranges of the edges in all other regions. Only they, and this region's own, reach the application's balancer."
  type        = list(string)
  validation {
    condition     = alltrue([for cidr in var.edge_egress_cidrs : can(cidrnetmask(cidr)) && !endswith(cidr, "/0")])
    error_message = "edge_egress_cidrs must be IPv4 ranges such as 192.0.2.0/30, and never all addresses: the application is closed to strangers."
  }
}

variable "egress_prefix_length" {
  description = "Length of the public range behind the NAT gateway: 31 gives 2 addresses, 28 gives 16. Each address carries 64,512 flows to one destination."
  type        = number
  default     = 30
  validation {
    condition     = var.egress_prefix_length >= 28 && var.egress_prefix_length <= 31
    error_message = "egress_prefix_length must be 28 to 31: a NAT gateway takes at most 16 addresses."
  }
}

variable "log_storage" {
  description = "Account for flow logs and cluster logs: its name (unique in Azure), the key that encrypts it, and how long logs are kept."
  type = object({
    name              = string
    key_vault_key_id  = string
    identity_id       = string
    retention_in_days = optional(number, 90)
  })
  validation {
    condition     = can(regex("^[a-z0-9]{3,24}$", var.log_storage.name))
    error_message = "log_storage.name must be 3 to 24 lower-case letters or digits."
  }
  validation {
    condition     = var.log_storage.retention_in_days >= 30 && var.log_storage.retention_in_days <= 365
    error_message = "log_storage.retention_in_days must be 30 to 365."
  }
}

variable "network_watcher" {
  description = "Network watcher of the region. Azure makes one per subscription and region; null means that one."
  type        = object({ name = string, resource_group_name = string })
  default     = null
}

variable "ddos_protection_plan_id" {
  description = "DDoS plan of the virtual network. Null leaves protection to the edges' addresses, which costs less for few addresses."
  type        = string
  default     = null
}

variable "tags" {
  description = "Tags of every resource; environment and owner are required."
  type        = map(string)
  validation {
    condition     = alltrue([for key in ["environment", "owner"] : contains(keys(var.tags), key)])
    error_message = "tags must hold environment and owner: costs and alarms are assigned by them."
  }
}

variable "http3" {
  description = "Whether clients reach the edges over UDP as well: where a listener of the chart has the protocol `h3`."
  type        = bool
  default     = false
}
