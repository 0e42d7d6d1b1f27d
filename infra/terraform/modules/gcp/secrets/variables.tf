# What a caller says about the secrets of one environment.

variable "project_id" {
  description = "Project that holds the secrets."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id is 6 to 30 lower-case letters, digits and hyphens, begins with a letter and does not end with a hyphen."
  }
}

variable "name" {
  description = "Name of the topic that tells of due rotations, for example production-europe-west1."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,48}[a-z0-9]$", var.name))
    error_message = "name is 3 to 50 lower-case letters, digits and hyphens, begins with a letter and does not end with a hyphen."
  }
}

variable "region" {
  description = "Region that holds the secrets. They are not replicated: each region has its own."
  type        = string

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "region is a Google Cloud region such as europe-west1, not a zone."
  }
}

variable "kms_key" {
  description = "Id of the key that encrypts secrets and topic, in the region."
  type        = string

  validation {
    condition     = can(regex("/locations/${var.region}/keyRings/[^/]+/cryptoKeys/[^/]+$", var.kms_key))
    error_message = "kms_key is the full id of a key in the region (projects/…/locations/REGION/keyRings/…/cryptoKeys/…)."
  }
}

variable "project_number" {
  description = "Number of the project: Google's agent that tells of rotations is named after it."
  type        = number

  validation {
    condition     = var.project_number > 0 && floor(var.project_number) == var.project_number
    error_message = "project_number is the project's number, as `gcloud projects describe` prints it."
  }
}

variable "secrets" {
  description = "Secrets by name, each with the IAM members that read it (by a name of your own) and how often it is to be rotated. value_version is raised to write the value given in values."
  type = map(object({
    readers       = optional(map(string), {})
    rotation_days = optional(number, 90)
    value_version = optional(number, 0)
  }))

  validation {
    condition     = alltrue([for name in keys(var.secrets) : can(regex("^[a-zA-Z][a-zA-Z0-9_-]{0,254}$", name))])
    error_message = "A secret's name has letters, digits, hyphens and underscores and begins with a letter."
  }

  validation {
    condition     = alltrue([for secret in values(var.secrets) : secret.rotation_days >= 1 && secret.rotation_days <= 365])
    error_message = "rotation_days is between 1 and 365: a secret that is never rotated is never known to work."
  }

  validation {
    condition     = alltrue(flatten([for secret in values(var.secrets) : [for member in values(secret.readers) : startswith(member, "serviceAccount:") || startswith(member, "principal")]]))
    error_message = "readers are accounts or principals of workloads. People read a secret by a role for a time, not by this list."
  }
}

variable "values" {
  description = "Values by secret. They are ephemeral: neither the plan nor the state holds them."
  type        = map(string)
  default     = {}
  ephemeral   = true
  sensitive   = true
}

variable "labels" {
  description = "Labels of everything that can carry some; environment and owner are required."
  type        = map(string)

  validation {
    condition     = alltrue([for key in ["environment", "owner"] : contains(keys(var.labels), key)])
    error_message = "labels has at least the keys environment and owner."
  }
}
