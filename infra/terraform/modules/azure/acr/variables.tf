# Inputs of the registry.
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

variable "registry_name" {
  description = "Name of the registry, unique in Azure: images are NAME.azurecr.io/..."
  type        = string
  validation {
    condition     = can(regex("^[a-zA-Z0-9]{5,50}$", var.registry_name))
    error_message = "registry_name must be 5 to 50 letters or digits."
  }
}

variable "replicas" {
  description = "Regions beside this one that hold a copy, so that nodes in them can pull while this region is down."
  type        = set(string)
  default     = []
  validation {
    condition     = !contains(var.replicas, var.resource_group.location)
    error_message = "replicas must not hold the registry's own region."
  }
}

variable "pullers" {
  description = "Principal ids that pull, by name: the clusters' kubelets."
  type        = map(string)
  default     = {}
}

variable "pushers" {
  description = "Principal ids that push, by name: the pipeline's identity and no cluster."
  type        = map(string)
  default     = {}
  validation {
    condition     = length(setintersection(values(var.pullers), values(var.pushers))) == 0
    error_message = "pushers must not hold an identity of pullers: a compromised cluster could replace the images of others."
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
