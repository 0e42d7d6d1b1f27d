# What a caller says about one cache.

variable "project_id" {
  description = "Project that holds the cache."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id is 6 to 30 lower-case letters, digits and hyphens, begins with a letter and does not end with a hyphen."
  }
}

variable "name" {
  description = "Name of the instance, for example production-europe-west1."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,61}[a-z0-9]$", var.name))
    error_message = "name is 4 to 63 lower-case letters, digits and hyphens, begins with a letter and does not end with a hyphen."
  }
}

variable "region" {
  description = "Region of the cache."
  type        = string

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "region is a Google Cloud region such as europe-west1, not a zone."
  }
}

variable "network" {
  description = "Id of the network that reaches the cache; its policy for Memorystore has to stand (modules/gcp/network)."
  type        = string
}

variable "kms_key" {
  description = "Id of the key that encrypts snapshots and backups, in the region."
  type        = string

  validation {
    condition     = can(regex("/locations/${var.region}/keyRings/[^/]+/cryptoKeys/[^/]+$", var.kms_key))
    error_message = "kms_key is the full id of a key in the region (projects/…/locations/REGION/keyRings/…/cryptoKeys/…)."
  }
}

variable "valkey_version" {
  description = "Version of Valkey, such as 8.0."
  type        = string
  default     = "8.0"

  validation {
    condition     = contains(["7.2", "8.0", "9.0"], var.valkey_version)
    error_message = "valkey_version is 7.2, 8.0 or 9.0."
  }
}

variable "node_type" {
  description = "Size of a node."
  type        = string
  default     = "STANDARD_SMALL"

  validation {
    condition     = contains(["STANDARD_SMALL", "HIGHMEM_MEDIUM", "HIGHMEM_XLARGE"], var.node_type)
    error_message = "node_type is STANDARD_SMALL, HIGHMEM_MEDIUM or HIGHMEM_XLARGE: the shared-core nano has no agreed availability."
  }
}

variable "replicas" {
  description = "Replicas of the shard, in other zones."
  type        = number
  default     = 1

  validation {
    condition     = var.replicas >= 1 && var.replicas <= 5
    error_message = "replicas is between 1 and 5: without one, losing a zone empties the cache."
  }
}

variable "deletion_protection" {
  description = "Whether Google refuses to delete the cache."
  type        = bool
  default     = true
}

variable "labels" {
  description = "Labels of everything that can carry some; environment and owner are required."
  type        = map(string)

  validation {
    condition     = alltrue([for key in ["environment", "owner"] : contains(keys(var.labels), key)])
    error_message = "labels has at least the keys environment and owner."
  }
}
