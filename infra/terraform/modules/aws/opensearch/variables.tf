# One search domain.

variable "name" {
  description = "Name of the domain."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,27}$", var.name))
    error_message = "The name of a domain has 3 to 28 small letters, digits and '-', and begins with a letter."
  }
}

variable "network" {
  description = "The network that the domain is in."
  type        = string
}

variable "subnets" {
  description = "Data subnets, one in each of three zones."
  type        = list(string)

  validation {
    condition     = length(distinct(var.subnets)) == 3
    error_message = "Give three data subnets: the domain has a node in each of three zones."
  }
}

variable "clients" {
  description = "Security groups that reach the domain, by a name of your choice: that of the nodes."
  type        = map(string)

  validation {
    condition     = length(var.clients) > 0
    error_message = "Name at least one security group, or no client reaches the domain."
  }
}

variable "administrator" {
  description = "Role that administers the domain's own users and roles."
  type        = string

  validation {
    condition     = can(regex("^arn:[a-z-]+:iam::[0-9]{12}:role/", var.administrator))
    error_message = "The administrator is the ARN of a role: the domain has no users with passwords."
  }
}

variable "instance_type" {
  description = "Size of the data nodes."
  type        = string
  default     = "m7g.large.search"

  validation {
    condition     = endswith(var.instance_type, ".search")
    error_message = "An instance type is named like 'm7g.large.search'."
  }
}

variable "volume_gib" {
  description = "Disk of each data node."
  type        = number
  default     = 100

  validation {
    condition     = var.volume_gib >= 10 && var.volume_gib <= 3072
    error_message = "A data node has 10 to 3072 GiB."
  }
}
