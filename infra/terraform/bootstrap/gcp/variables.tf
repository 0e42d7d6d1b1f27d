# Inputs of the bootstrap: a person runs it once, before any environment exists.

variable "project_id" {
  description = "Project of the state, the audit log and the pipeline's identities, apart from those of the environments."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id is 6 to 30 lower-case letters, digits and hyphens, begins with a letter and does not end with a hyphen."
  }
}

variable "region" {
  description = "Region of the state, the audit log and their keys."
  type        = string
  default     = "europe-west1"

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "region is a Google Cloud region such as europe-west1, not a zone."
  }
}

variable "environments" {
  description = "Environments by name, each with a project of its own: rights end at its border."
  type        = map(object({ project_id = string }))

  validation {
    condition     = length(var.environments) > 0 && length(setsubtract(keys(var.environments), ["development", "staging", "production"])) == 0
    error_message = "environments holds at least one of development, staging and production, and nothing else."
  }

  validation {
    condition     = !contains(values(var.environments)[*].project_id, var.project_id) && length(distinct(values(var.environments)[*].project_id)) == length(var.environments)
    error_message = "Every entry of environments has a project of its own, other than project_id: in a shared one, development could change production or the pipeline's own rights."
  }
}

variable "repository" {
  description = "GitHub repository whose pipeline may take the identities: its name and its number (`gh api repos/OWNER/NAME --jq .id`). The number survives a rename, and a new repository under the old name does not get it."
  type        = object({ name = string, id = number })

  validation {
    condition     = can(regex("^[A-Za-z0-9-]+/[A-Za-z0-9._-]+$", var.repository.name))
    error_message = "repository.name is OWNER/NAME without a wildcard: any other repository could take the identities."
  }

  validation {
    condition     = var.repository.id > 0 && floor(var.repository.id) == var.repository.id
    error_message = "repository.id is the repository's number."
  }
}

variable "organization_policies" {
  description = "Whether to forbid account keys, public buckets and databases and the default network in every project. Needs an organisation and roles/orgpolicy.policyAdmin."
  type        = bool
  default     = true
}

variable "audit_retention_days" {
  description = "How long the audit log is kept. No account can delete it earlier."
  type        = number
  default     = 400

  validation {
    condition     = var.audit_retention_days >= 365 && var.audit_retention_days <= 3650
    error_message = "audit_retention_days is between 365 and 3650."
  }
}

variable "labels" {
  description = "Labels of everything that can carry some; environment and owner are required."
  type        = map(string)
  default     = { environment = "bootstrap", owner = "platform" }

  validation {
    condition     = alltrue([for key in ["environment", "owner"] : contains(keys(var.labels), key)])
    error_message = "labels has at least the keys environment and owner."
  }
}
