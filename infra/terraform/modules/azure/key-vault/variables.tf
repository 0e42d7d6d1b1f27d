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
  description = "Keys by purpose, and whether each rotates by itself once a year. etcd's key must not: AKS uses one fixed version."
  type        = map(bool)
  default     = { disks = true, etcd = false, postgresql = true, redis = true, registry = true, storage = true }
  validation {
    condition     = length(var.keys) > 0 && alltrue([for name in keys(var.keys) : can(regex("^[a-z][a-z0-9-]{0,30}$", name))])
    error_message = "keys must hold at least one name of lower-case letters, digits or hyphens."
  }
  validation {
    condition     = !lookup(var.keys, "etcd", false)
    error_message = "keys must not rotate etcd by itself: the cluster would keep using a version that expires."
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
