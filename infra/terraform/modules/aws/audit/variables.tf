# Inputs: what the account records and guards.

variable "name" {
  description = "Name of the parts, or its start."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,40}$", var.name))
    error_message = "The name has 3 to 41 small letters, digits and '-', and begins with a letter."
  }
}


variable "regions" {
  description = "Regions that are guarded: threat detection and safe defaults in each. The trail records all regions."
  type        = set(string)
  default     = ["us-east-1", "eu-west-1", "ap-southeast-1"]

  validation {
    condition     = length(var.regions) > 0 && alltrue([for region in var.regions : can(regex("^[a-z]{2}-[a-z]+-[0-9]$", region))])
    error_message = "Regions are named like 'eu-west-1'; name at least one."
  }
}

variable "keep_days" {
  description = "How long the trail is kept and locked against deletion."
  type        = number
  default     = 400

  validation {
    condition     = var.keep_days >= 365 && var.keep_days <= 3650
    error_message = "A trail is kept for 365 to 3650 days."
  }
}

variable "emails" {
  description = "Recipients of security alarms."
  type        = set(string)

  validation {
    condition     = length(var.emails) > 0 && alltrue([for email in var.emails : can(regex("^[^@ ]+@[^@ ]+\\.[^@ ]+$", email))])
    error_message = "Name at least one e-mail address."
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
