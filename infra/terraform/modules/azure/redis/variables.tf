# Inputs of the cache of one region.
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

variable "sku" {
  description = "Size, for example Balanced_B1 (1 GB), Balanced_B10 (12 GB), MemoryOptimized_M20 (24 GB)."
  type        = string
  default     = "Balanced_B5"
  validation {
    condition     = can(regex("^(Balanced_B[1-9][0-9]*|MemoryOptimized_M[0-9]+|ComputeOptimized_X[0-9]+)$", var.sku))
    error_message = "sku must be a size of Azure Managed Redis such as Balanced_B5. Sizes of the old service (Standard_C1, Premium_P1) are not sold any more, and Balanced_B0 has no customer's key."
  }
}

variable "users" {
  description = "Object ids of the identities that may log in, by workload. The cache has no access keys."
  type        = map(string)
}

variable "persistence" {
  description = "\"none\": a cache, empty after the loss of all copies. \"append\": every second to disk, for what must survive that."
  type        = string
  default     = "none"
  validation {
    condition     = contains(["none", "append"], var.persistence)
    error_message = "persistence must be \"none\" or \"append\"."
  }
}

variable "encryption" {
  description = "Key that encrypts what is stored, and the identity that may use it: an entry of module azure/key-vault's keys."
  type        = object({ id = string, identity_id = string, identity_client_id = string })
}

variable "network" {
  description = "Subnet and virtual network of the private endpoint."
  type        = object({ subnet_id = string, virtual_network_id = string })
}

variable "log_storage_account_id" {
  description = "Storage account for logs, from module azure/network."
  type        = string
}

variable "tags" {
  description = "Tags of every resource; environment and owner are required."
  type        = map(string)
  validation {
    condition     = alltrue([for key in ["environment", "owner"] : contains(keys(var.tags), key)])
    error_message = "tags must hold environment and owner: costs and alarms are assigned by them."
  }
}
