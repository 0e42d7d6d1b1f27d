# Inputs of the vault of one region.
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

variable "keys" {
  description = "Keys by purpose. RSA-HSM keys never leave a hardware module; RSA is for services that take no other, such as etcd's encryption in AKS."
  type        = map(string)
  default     = { disks = "RSA-HSM", etcd = "RSA", postgresql = "RSA-HSM", redis = "RSA-HSM", registry = "RSA-HSM", storage = "RSA-HSM" }
  validation {
    condition     = alltrue([for type in values(var.keys) : contains(["RSA", "RSA-HSM"], type)])
    error_message = "A key in keys must be \"RSA\" or \"RSA-HSM\": the stores wrap with RSA only."
  }
}

variable "runner_addresses" {
  description = "Public addresses of the machines that run terraform from outside the network; empty where they are inside, which closes the vault to the Internet."
  type        = list(string)
  default     = []
  validation {
    condition     = alltrue([for address in var.runner_addresses : can(cidrnetmask(strcontains(address, "/") ? address : "${address}/32")) && !endswith(address, "/0")])
    error_message = "runner_addresses must be IPv4 addresses or ranges, and never all addresses."
  }
}

variable "network" {
  description = "Subnet and virtual network of the private endpoint. Null makes none: a vault in the paired region serves Azure's own backup only."
  type        = object({ subnet_id = string, virtual_network_id = string })
  default     = null
}

variable "log_storage" {
  description = "Storage account for the audit of every use of a key or secret. Null where the region has none."
  type        = object({ account_id = string })
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
