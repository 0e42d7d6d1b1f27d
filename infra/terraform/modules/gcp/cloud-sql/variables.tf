# What a caller says about one PostgreSQL database.

variable "project_id" {
  description = "Project that holds the database."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id is 6 to 30 lower-case letters, digits and hyphens, begins with a letter and does not end with a hyphen."
  }
}

variable "name" {
  description = "Name of the instance, for example production-europe-west1. A deleted instance's name is blocked for a week."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,58}[a-z0-9]$", var.name))
    error_message = "name is 3 to 60 lower-case letters, digits and hyphens, begins with a letter and does not end with a hyphen."
  }
}

variable "region" {
  description = "Region of the database."
  type        = string

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "region is a Google Cloud region such as europe-west1, not a zone."
  }
}

variable "network" {
  description = "Id of the network that reaches the database."
  type        = string
}

variable "endpoints_subnet" {
  description = "Id of the subnet for private endpoints."
  type        = string
}

variable "kms_key" {
  description = "Id of the key that encrypts data and backups, in the region."
  type        = string

  validation {
    condition     = can(regex("/locations/${var.region}/keyRings/[^/]+/cryptoKeys/[^/]+$", var.kms_key))
    error_message = "kms_key is the full id of a key in the region (projects/…/locations/REGION/keyRings/…/cryptoKeys/…)."
  }
}

variable "postgres_version" {
  description = "Major version of PostgreSQL."
  type        = number
  default     = 18

  validation {
    condition     = contains([16, 17, 18], var.postgres_version)
    error_message = "postgres_version is 16, 17 or 18."
  }
}

variable "tier" {
  description = "Machine of the database, db-custom-CORES-MEMORY."
  type        = string
  default     = "db-custom-2-7680"

  validation {
    condition     = can(regex("^db-custom-[0-9]+-[0-9]+$", var.tier))
    error_message = "tier is db-custom-CORES-MEMORY in MiB: shared-core machines have no agreed availability."
  }
}

variable "disk_gb" {
  description = "Size of the disk in GB, which grows by itself up to four times this."
  type        = number
  default     = 50

  validation {
    condition     = var.disk_gb >= 10 && floor(var.disk_gb) == var.disk_gb
    error_message = "disk_gb is a whole number of at least 10."
  }
}

variable "databases" {
  description = "Databases of the instance."
  type        = set(string)
  default     = ["app"]

  validation {
    condition     = alltrue([for database in var.databases : can(regex("^[a-z][a-z0-9_]{0,62}$", database))])
    error_message = "A database's name has lower-case letters, digits and underscores and begins with a letter."
  }
}

variable "users" {
  description = "Accounts that log in by IAM, as modules/gcp/iam names them (database_users). Passwords do not exist."
  type        = set(string)

  validation {
    condition     = alltrue([for user in var.users : can(regex("^[a-z][a-z0-9-]+@[a-z0-9-]+\\.iam$", user))])
    error_message = "A user is NAME@PROJECT.iam: an account's address without .gserviceaccount.com."
  }
}

variable "backup_region" {
  description = "Region that keeps the backups."
  type        = string

  validation {
    condition     = var.backup_region != var.region
    error_message = "backup_region differs from region: a backup beside the database is lost with it."
  }
}

variable "retained_backups" {
  description = "How many daily backups are kept."
  type        = number
  default     = 35

  validation {
    condition     = var.retained_backups >= 7 && var.retained_backups <= 365
    error_message = "retained_backups is between 7 and 365."
  }
}

variable "replica" {
  description = "Copy in another region that can be promoted, with a key of that region. null for none: then losing the region costs what happened since the last backup."
  type        = object({ region = string, kms_key = string })
  default     = null

  validation {
    condition     = var.replica == null || try(var.replica.region != var.region && strcontains(var.replica.kms_key, "/locations/${var.replica.region}/"), false)
    error_message = "replica.region differs from region, and replica.kms_key is a key of replica.region."
  }
}

variable "deletion_protection" {
  description = "Whether Terraform and Google refuse to delete the database."
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
