# One cache.

variable "name" {
  description = "Name of the parts, or its start."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,40}$", var.name))
    error_message = "The name has 3 to 41 small letters, digits and '-', and begins with a letter."
  }
}


variable "network" {
  description = "The network that the cache is in."
  type        = string
}

variable "subnets" {
  description = "Data subnets in at least two zones."
  type        = list(string)

  validation {
    condition     = length(distinct(var.subnets)) >= 2
    error_message = "Give data subnets in at least two zones: the replica is in another than the primary."
  }
}

variable "clients" {
  description = "Security groups that reach the cache, by a name of your choice: that of the nodes."
  type        = map(string)

  validation {
    condition     = length(var.clients) > 0
    error_message = "Name at least one security group, or no client reaches the cache."
  }
}

variable "engine_version" {
  description = "Version of Valkey."
  type        = string
  default     = "8.1"

  validation {
    condition     = can(regex("^[89]\\.[0-9]$", var.engine_version))
    error_message = "The version of Valkey is '8.0' or newer, major and minor: Redis is not used, because its newer versions are not open source."
  }
}

variable "node_type" {
  description = "Size of a node."
  type        = string
  default     = "cache.t4g.small"

  validation {
    condition     = startswith(var.node_type, "cache.")
    error_message = "A node type is named like 'cache.t4g.small'."
  }
}

variable "nodes" {
  description = "Primary and replicas."
  type        = number
  default     = 3

  validation {
    condition     = var.nodes >= 2 && var.nodes <= 6
    error_message = "Use 2 to 6 nodes: without a replica nothing takes over."
  }
}
