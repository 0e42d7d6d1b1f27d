# Inputs of one private endpoint.
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

variable "service" {
  description = "Service behind the endpoint: its id, and which part of it (vault, registry, redisEnterprise)."
  type        = object({ id = string, part = string })
}

variable "zone" {
  description = "Private DNS zone that answers with the endpoint's address, as Azure names it for this service."
  type        = string
  validation {
    condition     = startswith(var.zone, "privatelink.")
    error_message = "zone must be one of Azure's privatelink zones, for example privatelink.vaultcore.azure.net: Azure sends clients to that zone by a CNAME."
  }
}

variable "network" {
  description = "Where the endpoint is: subnet, and virtual network that looks names up."
  type        = object({ subnet_id = string, virtual_network_id = string })
}

variable "tags" {
  description = "Tags of every resource; environment and owner are required."
  type        = map(string)
  validation {
    condition     = alltrue([for key in ["environment", "owner"] : contains(keys(var.tags), key)])
    error_message = "tags must hold environment and owner: costs and alarms are assigned by them."
  }
}
