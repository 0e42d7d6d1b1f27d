# Inputs of the addresses that clients and edges reach in this region.
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

variable "origin" {
  description = "Reserve an address for the balancer in front of the application as well; false where that balancer is internal."
  type        = bool
  default     = true
}

variable "ip_versions" {
  description = "Families of the edges' addresses. IPv6 needs dualStack in the edge's chart and an IPv6 range in the network."
  type        = set(string)
  default     = ["IPv4"]
  validation {
    condition     = contains(var.ip_versions, "IPv4") && length(setsubtract(var.ip_versions, ["IPv4", "IPv6"])) == 0
    error_message = "ip_versions must hold IPv4, and may hold IPv6."
  }
}

variable "public_ip_prefix_id" {
  description = "Prefix to take the edges' IPv4 address from, for example of addresses that you brought (BYOIP). Null lets Azure choose."
  type        = string
  default     = null
}

variable "dns_label" {
  description = "Label of the name that Azure gives the edges' address, below REGION.cloudapp.azure.com: DNS outside may point to it."
  type        = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,61}[a-z0-9]$", var.dns_label))
    error_message = "dns_label must be 3 to 63 lower-case letters, digits or hyphens, begin with a letter and not end with a hyphen."
  }
}

variable "ddos_protection" {
  description = "\"Enabled\" protects each address by itself; \"VirtualNetworkInherited\" relies on the network's plan, or on Azure's basic protection."
  type        = string
  default     = "Enabled"
  validation {
    condition     = contains(["Enabled", "VirtualNetworkInherited"], var.ddos_protection)
    error_message = "ddos_protection must be \"Enabled\" or \"VirtualNetworkInherited\"."
  }
}

variable "tags" {
  description = "Tags of every resource; environment and owner are required."
  type        = map(string)
  validation {
    condition     = alltrue([for key in ["environment", "owner"] : contains(keys(var.tags), key)])
    error_message = "tags must hold environment and owner: costs and alarms are assigned by them."
  }
}
