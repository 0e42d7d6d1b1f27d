# Where one region's edges are reached.

variable "name" {
  description = "Start of the parts' names."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,40}$", var.name))
    error_message = "The name has 3 to 41 small letters, digits and '-', and begins with a letter."
  }
}

variable "network" {
  description = "The network that the edges are in."
  type        = string
}

variable "subnets" {
  description = "Public subnets by zone: the balancer has one fixed address in each."
  type        = map(string)

  validation {
    condition     = length(var.subnets) >= 2
    error_message = "Give public subnets in at least two zones, or a zone's loss takes every address of this region."
  }
}

variable "node_security_group" {
  description = "Security group of nodes and pods: the balancer is let in there, to the edges' port."
  type        = string
}

variable "edge_port" {
  description = "Port on which the edges listen."
  type        = number
  default     = 8443

  validation {
    condition     = var.edge_port > 1023 && var.edge_port < 65536
    error_message = "The edge is no root and listens on a port from 1024 to 65535."
  }
}

variable "address_pool" {
  description = "Pool of own addresses (BYOIP) from which the fixed addresses come; Amazon's unless given."
  type        = string
  default     = null

  validation {
    condition     = var.address_pool == null ? true : startswith(var.address_pool, "ipv4pool-")
    error_message = "A pool is named like 'ipv4pool-ec2-012345'."
  }
}

variable "http3" {
  description = "Whether clients reach the edges over UDP as well: where a listener has the protocol `h3`."
  type        = bool
  default     = false
}
