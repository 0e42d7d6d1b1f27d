# What a caller says about the keys of one environment in one region.

variable "project_id" {
  description = "Project that holds the keys."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id is 6 to 30 lower-case letters, digits and hyphens, begins with a letter and does not end with a hyphen."
  }
}

variable "project_number" {
  description = "Number of the project. Google's service agents are named after it."
  type        = number

  validation {
    condition     = var.project_number > 0 && floor(var.project_number) == var.project_number
    error_message = "project_number is the project's number, as `gcloud projects describe` prints it."
  }
}

variable "name" {
  description = "Name of the key ring, for example production-europe-west1. A key ring can never be deleted, nor its name used again."
  type        = string

  validation {
    condition     = can(regex("^[a-zA-Z0-9_-]{1,63}$", var.name))
    error_message = "name is 1 to 63 letters, digits, hyphens and underscores."
  }
}

variable "location" {
  description = "Location of the ring: the region of what it encrypts. Google refuses a key of another location."
  type        = string

  validation {
    condition     = can(regex("^([a-z]+-[a-z]+[0-9]+|europe|us|asia)$", var.location))
    error_message = "location is a region such as europe-west1, or one of the multi-regions europe, us, asia."
  }
}

variable "keys" {
  description = "Keys by name, each with the services that encrypt with it: artifact-registry, backup, compute, gke, memorystore, pubsub, secrets, sql, storage."
  type        = map(set(string))

  validation {
    condition     = length(var.keys) > 0 && alltrue([for services in values(var.keys) : length(services) > 0])
    error_message = "keys names at least one key, and each key at least one service: a key that nothing uses is a mistake."
  }

  validation {
    condition = alltrue([for service in flatten([for services in values(var.keys) : tolist(services)]) : contains(
      ["artifact-registry", "backup", "compute", "gke", "memorystore", "pubsub", "secrets", "sql", "storage"], service
    )])
    error_message = "A service of keys is one of artifact-registry, backup, compute, gke, memorystore, pubsub, secrets, sql, storage."
  }
}

variable "protection_level" {
  description = "SOFTWARE, or HSM for keys that never leave a hardware module."
  type        = string
  default     = "HSM"

  validation {
    condition     = contains(["SOFTWARE", "HSM"], var.protection_level)
    error_message = "protection_level is SOFTWARE or HSM."
  }
}

variable "labels" {
  description = "Labels of everything that can carry some; environment and owner are required."
  type        = map(string)

  validation {
    condition     = alltrue([for key in ["environment", "owner"] : contains(keys(var.labels), key)])
    error_message = "labels has at least the keys environment and owner."
  }
}
