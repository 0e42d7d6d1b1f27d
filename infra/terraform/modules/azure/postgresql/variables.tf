# Inputs of the database of one region.
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

variable "postgresql_version" {
  description = "Major version of PostgreSQL; a new one is an upgrade in place with a pause."
  type        = string
  default     = "17"
  validation {
    condition     = contains(["16", "17", "18"], var.postgresql_version)
    error_message = "postgresql_version must be \"16\", \"17\" or \"18\"."
  }
}

variable "databases" {
  description = "Databases to make."
  type        = set(string)
  default     = ["app"]
}

variable "size" {
  description = "Machine and storage. Zone redundancy needs a GP_ or MO_ machine."
  type        = object({ sku = optional(string, "GP_Standard_D2ads_v5"), storage_gb = optional(number, 64) })
  default     = {}
  validation {
    condition     = can(regex("^(GP|MO)_Standard_", var.size.sku))
    error_message = "size.sku must begin with GP_Standard_ or MO_Standard_: burstable machines have no standby in another zone."
  }
  validation {
    condition     = contains([32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384], var.size.storage_gb)
    error_message = "size.storage_gb must be a power of two from 32 to 16384."
  }
}

variable "zones" {
  description = "Zone of the primary and zone of its standby."
  type        = object({ primary = optional(string, "1"), standby = optional(string, "2") })
  default     = {}
  validation {
    condition     = var.zones.primary != var.zones.standby
    error_message = "zones.primary and zones.standby must differ: one zone's outage would take both."
  }
}

variable "backup" {
  description = "Days of point-in-time restore; key in the paired region, and the identity that may use it, for the copy there."
  type        = object({ retention_in_days = optional(number, 35), geo_key_id = string, geo_identity_id = string })
  validation {
    condition     = var.backup.retention_in_days >= 7 && var.backup.retention_in_days <= 35
    error_message = "backup.retention_in_days must be 7 to 35."
  }
}

variable "administrators" {
  description = "Entra group that administers the server."
  type        = object({ object_id = string, name = string })
  validation {
    condition     = can(regex("^[0-9a-f-]{36}$", var.administrators.object_id))
    error_message = "administrators.object_id must be the object id of an Entra group: the server has no password login."
  }
}

variable "network" {
  description = "Delegated subnet and virtual network of the server."
  type        = object({ subnet_id = string, virtual_network_id = string })
}

variable "log_storage_account_id" {
  description = "Storage account for logs, from module azure/network."
  type        = string
}

variable "deletion_protection" {
  description = "Put a lock on the server that refuses its deletion."
  type        = bool
  default     = true
}

variable "encryption" {
  description = "Key that encrypts what is stored, and the identity that may use it: an entry of module azure/key-vault's keys."
  type        = object({ id = string, identity_id = string, identity_client_id = string })
}

variable "tags" {
  description = "Tags of every resource; environment and owner are required."
  type        = map(string)
  validation {
    condition     = alltrue([for key in ["environment", "owner"] : contains(keys(var.tags), key)])
    error_message = "tags must hold environment and owner: costs and alarms are assigned by them."
  }
}
