# What a caller says about a repository of images.

variable "project_id" {
  description = "Project that holds the repository."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id is 6 to 30 lower-case letters, digits and hyphens, begins with a letter and does not end with a hyphen."
  }
}

variable "location" {
  description = "Region, or multi-region europe, us or asia, that holds the images. Artifact Registry does not replicate: a multi-region is its way to survive a region."
  type        = string
  default     = "europe"

  validation {
    condition     = can(regex("^([a-z]+-[a-z]+[0-9]+|europe|us|asia)$", var.location))
    error_message = "location is a region such as europe-west1, or one of europe, us, asia."
  }
}

variable "name" {
  description = "Name of the repository, which is part of every image's name."
  type        = string
  default     = "thalweg"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,48}[a-z0-9]$", var.name))
    error_message = "name is 3 to 50 lower-case letters, digits and hyphens, begins with a letter and does not end with a hyphen."
  }
}

variable "kms_key" {
  description = "Id of the key that encrypts the images, in the repository's location."
  type        = string

  validation {
    condition     = can(regex("/locations/${var.location}/keyRings/[^/]+/cryptoKeys/[^/]+$", var.kms_key))
    error_message = "kms_key is the full id of a key in the repository's location (projects/…/locations/LOCATION/keyRings/…/cryptoKeys/…)."
  }
}

variable "keep" {
  description = "How many of the newest images of each name are never deleted."
  type        = number
  default     = 50

  validation {
    condition     = var.keep >= 10 && floor(var.keep) == var.keep
    error_message = "keep is a whole number of at least 10: a rollback needs what ran before."
  }
}

variable "readers" {
  description = "IAM members that pull, such as the nodes' account, by a name of your own."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for member in values(var.readers) : can(regex("^(serviceAccount|group|principal|principalSet):", member))])
    error_message = "readers are accounts, groups or principals: never single users, and never allUsers."
  }
}

variable "writers" {
  description = "IAM members that push and attest: the pipeline's account, by a name of your own."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for member in values(var.writers) : can(regex("^(serviceAccount|principal|principalSet):", member))])
    error_message = "writers are accounts or principals of a pipeline: images that a person pushes have no provenance."
  }
}

variable "enforce" {
  description = "Whether clusters refuse images without an attestation, or only log them. One policy holds for the whole project."
  type        = bool
  default     = true
}

variable "allowed_images" {
  description = "Name patterns of images that need no attestation, such as a mirror of the controllers' images. A pattern ends with the repository's path and /*."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for pattern in var.allowed_images : can(regex("^[a-z0-9.-]+\\.[a-z]+/[a-z0-9._/-]+/\\*{1,2}$", pattern))])
    error_message = "A pattern of allowed_images names a registry and a path, such as europe-docker.pkg.dev/example/mirror/*: a registry alone allows the images of all its users."
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
