# Inputs: the secrets, and which of them the rotation changes.

variable "name" {
  description = "Name of the parts, or its start."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,40}$", var.name))
    error_message = "The name has 3 to 41 small letters, digits and '-', and begins with a letter."
  }
}


variable "secrets" {
  description = "By name as the charts ask for it. `token` secrets are made and changed by the rotation; `cache` ones too, each is the address of a cache with its user's password (`cache`: output `user` of `modules/aws/elasticache`); `given` ones are empty until you put a value (`aws secretsmanager put-secret-value`)."
  type = map(object({
    description = string
    kind        = string
    cache       = optional(object({ user_id = string, user_name = string, endpoint = string }))
  }))

  validation {
    condition     = alltrue([for secret in var.secrets : contains(["token", "cache", "given"], secret.kind)])
    error_message = "A secret's kind is 'token' or 'cache' (made and rotated here) or 'given' (you put its value)."
  }
  validation {
    condition     = alltrue([for secret in var.secrets : (secret.kind == "cache") == (secret.cache != null)])
    error_message = "A secret of kind 'cache' names its cache's user, and no other does."
  }
  validation {
    condition     = alltrue([for name in keys(var.secrets) : can(regex("^[a-zA-Z0-9/_+=.@-]{1,200}$", name))])
    error_message = "A secret's name has 1 to 200 letters, digits and '/_+=.@-'."
  }
}

variable "replica_regions" {
  description = "Regions that get a copy of each secret."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for region in var.replica_regions : can(regex("^[a-z]{2}-[a-z]+-[0-9]$", region))])
    error_message = "Regions are named like 'eu-west-1'."
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
