# What is copied, how long it is kept, and how surely.

variable "name" {
  description = "Name of the parts, or its start."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,40}$", var.name))
    error_message = "The name has 3 to 41 small letters, digits and '-', and begins with a letter."
  }
}


variable "copy_region" {
  description = "Region of the second vault."
  type        = string

  validation {
    condition     = can(regex("^[a-z]{2}-[a-z]+-[0-9]$", var.copy_region))
    error_message = "The copy is in a region named like 'eu-west-1'."
  }
}

variable "keep_days" {
  description = "How long a daily copy is kept."
  type        = number
  default     = 35

  validation {
    condition     = var.keep_days >= 7 && var.keep_days <= 365
    error_message = "Daily copies are kept for 7 to 365 days."
  }
}

variable "lock" {
  description = "`governance`: an administrator of backups can remove the lock. `compliance`: from three days after the apply on, no principal can, AWS included; copies stay, and cost, until their retention ends."
  type        = string
  default     = "governance"

  validation {
    condition     = contains(["governance", "compliance"], var.lock)
    error_message = "lock is 'governance' or 'compliance'."
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
