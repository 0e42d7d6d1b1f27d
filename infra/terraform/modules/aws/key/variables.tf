# Inputs: the key's name and its users.

variable "name" {
  description = "Alias of the key, without `alias/`."
  type        = string

  validation {
    condition     = can(regex("^[a-zA-Z0-9/_-]{1,120}$", var.name)) && !startswith(var.name, "aws/")
    error_message = "A key's name has 1 to 120 letters, digits, '/', '_' or '-', and does not begin with 'aws/'."
  }
}

variable "description" {
  description = "What the key protects; shown in the console."
  type        = string
}

variable "services" {
  description = "Service principals that use the key for this account's resources, for example `logs.us-east-1.amazonaws.com`."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for service in var.services : endswith(service, ".amazonaws.com")])
    error_message = "Services are principals such as 'cloudtrail.amazonaws.com'."
  }
}

variable "grantees" {
  description = "Roles that use the key through grants for AWS resources, for example the service-linked role that starts machines with encrypted disks."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for role in var.grantees : can(regex("^arn:[a-z-]+:iam::[0-9]{12}:role/", role))])
    error_message = "Grantees are ARNs of roles, such as 'arn:aws:iam::111122223333:role/name'."
  }
}

variable "multi_region" {
  description = "Whether the key can have replicas in other regions; cannot be changed later."
  type        = bool
  default     = false
}

variable "region" {
  description = "Region of the key; the provider's unless given."
  type        = string
  default     = null
}
