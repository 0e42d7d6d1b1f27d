# What differs between environments. What the parts ask for beyond this is decided in main.tf, the same everywhere.

variable "project_id" {
  description = "Project of the environment."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id is 6 to 30 lower-case letters, digits and hyphens, begins with a letter and does not end with a hyphen."
  }
}

variable "project_number" {
  description = "Number of the project, an output of bootstrap/gcp."
  type        = number

  validation {
    condition     = var.project_number > 0 && floor(var.project_number) == var.project_number
    error_message = "project_number is the project's number, as `gcloud projects describe` prints it."
  }
}

variable "environment" {
  description = "development, staging or production."
  type        = string

  validation {
    condition     = contains(["development", "staging", "production"], var.environment)
    error_message = "environment is development, staging or production."
  }
}

variable "region" {
  description = "Region of everything but backups and images."
  type        = string

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region)) && length("${var.environment}-${var.region}") <= 25
    error_message = "region is a Google Cloud region such as europe-west1; with the environment it has at most 25 characters, or the cluster's accounts get names that are too long."
  }
}

variable "zones" {
  description = "Three zones of the region."
  type        = set(string)

  validation {
    condition     = length(var.zones) == 3
    error_message = "zones names three zones: with two, losing one takes half of the cluster."
  }
}

variable "backup_region" {
  description = "Region of the backups and of the database's copy."
  type        = string

  validation {
    condition     = var.backup_region != var.region
    error_message = "backup_region differs from region: a backup beside its origin is lost with it."
  }
}

variable "images_location" {
  description = "Multi-region that holds the images."
  type        = string
  default     = "europe"

  validation {
    condition     = contains(["europe", "us", "asia"], var.images_location)
    error_message = "images_location is europe, us or asia."
  }
}

variable "addresses" {
  description = "Ranges of this environment and region in infra/terraform/addresses.json."
  type        = object({ network = string, pods = string, services = string })

  validation {
    condition     = length(distinct(values(var.addresses))) == 3
    error_message = "addresses has three different ranges: those of addresses.json for this environment and region."
  }
}

variable "other_edges" {
  description = "Fixed egress addresses of the edges outside of this region, each as /32: outputs of the other clouds' environments. This region's own are added."
  type        = set(string)

  validation {
    condition     = alltrue([for address in var.other_edges : can(regex("/(32|128)$", address))])
    error_message = "Each entry of other_edges is one address, as /32 or /128: a wider range lets strangers in."
  }
}

variable "cluster" {
  description = "The cluster: see modules/gcp/gke for each of these."
  type = object({
    version      = optional(string, "1.36")
    channel      = optional(string, "REGULAR")
    autopilot    = optional(bool, false)
    external_api = optional(bool, false)
    admins_group = optional(string, "")
    nodes = optional(object({
      machine_type = optional(string, "e2-standard-4")
      min          = optional(number, 3)
      max          = optional(number, 12)
      disk_gb      = optional(number, 100)
      spot         = optional(bool, false)
    }), {})
  })
  default = {}

  validation {
    condition     = !(var.environment == "production" && var.cluster.nodes.spot)
    error_message = "cluster.nodes.spot is not for production: Google takes spot nodes away together, on 30 seconds' notice."
  }
}

variable "database" {
  description = "The database: machine, first disk, backups that are kept, and whether it has a copy in the backup region."
  type = object({
    tier     = optional(string, "db-custom-2-7680")
    disk_gb  = optional(number, 50)
    retained = optional(number, 35)
    copy     = optional(bool, true)
  })
  default = {}

  validation {
    condition     = var.environment != "production" || var.database.copy
    error_message = "database.copy stays true in production: without it, losing the region costs a day of data."
  }
}

variable "cache" {
  description = "The cache: size of a node, and replicas."
  type        = object({ node_type = optional(string, "STANDARD_SMALL"), replicas = optional(number, 1) })
  default     = {}
}

variable "image_writers" {
  description = "IAM members of the pipeline that push and attest images, by a name of your own."
  type        = map(string)
}

variable "images_enforced" {
  description = "Whether the cluster refuses images without an attestation, or only logs them."
  type        = bool
  default     = true

  validation {
    condition     = var.environment != "production" || var.images_enforced
    error_message = "images_enforced stays true in production: otherwise every image that can be pushed can be run."
  }
}

variable "mirrors" {
  description = "Name patterns of images that need no attestation, such as a mirror of the controllers' images."
  type        = set(string)
  default     = []
}

variable "owner" {
  description = "Who answers for all of it; becomes a label."
  type        = string
  default     = "platform"

  validation {
    condition     = can(regex("^[a-z0-9_-]{1,63}$", var.owner))
    error_message = "owner is 1 to 63 lower-case letters, digits, hyphens and underscores: it is a label."
  }
}
