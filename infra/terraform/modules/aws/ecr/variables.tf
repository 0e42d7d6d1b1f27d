# Which images are kept, where.

variable "repositories" {
  description = "Names of the repositories, below `thalweg/`."
  type        = set(string)
  default     = ["thalweg/edge", "thalweg/fastapi-app"]

  validation {
    condition     = length(var.repositories) > 0 && alltrue([for name in var.repositories : can(regex("^thalweg/[a-z0-9]+([._-][a-z0-9]+)*$", name))])
    error_message = "A repository is named like 'thalweg/edge': the role that publishes may push below 'thalweg/' only."
  }
}

variable "replica_regions" {
  description = "Regions that get a copy of every image, so that a cluster starts without the home region."
  type        = set(string)
  default     = ["eu-west-1", "ap-southeast-1"]

  validation {
    condition     = alltrue([for region in var.replica_regions : can(regex("^[a-z]{2}-[a-z]+-[0-9]$", region))])
    error_message = "Regions are named like 'eu-west-1'."
  }
}

variable "kept_images" {
  description = "How many tagged images a repository keeps."
  type        = number
  default     = 200

  validation {
    condition     = var.kept_images >= 20
    error_message = "Keep at least 20 images: a rollback needs what was in use."
  }
}

variable "permissions_boundary" {
  description = "Policy that bounds every role made here, from `bootstrap/aws`: without it the role that applies may make none."
  type        = string

  validation {
    condition     = can(regex("^arn:[a-z-]+:iam::[0-9]{12}:policy/", var.permissions_boundary))
    error_message = "The boundary is the ARN of a policy, such as 'arn:aws:iam::111122223333:policy/thalweg-boundary'."
  }
}
