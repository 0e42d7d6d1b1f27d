# Inputs: the account's environment, and the repository that may change the account.

variable "environment" {
  description = "The environment whose account this is; each has an account of its own."
  type        = string

  validation {
    condition     = contains(["development", "staging", "production"], var.environment)
    error_message = "The environment is 'development', 'staging' or 'production'."
  }
}

variable "repository" {
  description = "Repository on GitHub whose workflows plan, apply and publish, as `owner/name`."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9-]+/[A-Za-z0-9._-]+$", var.repository))
    error_message = "The repository is one 'owner/name', without a pattern: every repository that matches a pattern could change the account."
  }
}

variable "regions" {
  description = "Regions that the environment uses, and those of its backups' copies; the provisioner may do nothing in others."
  type        = list(string)
  default     = ["us-east-1", "us-west-2", "eu-west-1", "eu-central-1", "ap-southeast-1", "ap-northeast-1"]

  validation {
    condition     = length(var.regions) > 0 && alltrue([for region in var.regions : can(regex("^[a-z]{2}-[a-z]+-[0-9]$", region))])
    error_message = "Regions are named like 'eu-west-1'; name at least one."
  }
}

variable "copy_region" {
  description = "Region of the second copy of the state."
  type        = string
  default     = "eu-west-1"

  validation {
    condition     = can(regex("^[a-z]{2}-[a-z]+-[0-9]$", var.copy_region))
    error_message = "The copy is in a region named like 'eu-west-1'."
  }
}

variable "service_linked_roles" {
  description = "Services whose linked role this account lacks. AWS refuses to make one twice: leave out what `aws iam list-roles --path-prefix /aws-service-role/` shows."
  type        = set(string)
  default     = ["autoscaling.amazonaws.com", "spot.amazonaws.com", "opensearchservice.amazonaws.com"]

  validation {
    condition     = alltrue([for service in var.service_linked_roles : endswith(service, ".amazonaws.com")])
    error_message = "Services are principals such as 'autoscaling.amazonaws.com'."
  }
}
