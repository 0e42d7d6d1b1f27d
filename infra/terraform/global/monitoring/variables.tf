# Inputs of the probe from outside.
variable "name" {
  description = "Prefix of what is made, for example thalweg-production."
  type        = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,40}$", var.name))
    error_message = "name must be 3 to 41 lower-case letters, digits or hyphens and begin with a letter."
  }
}

variable "project" {
  description = "Google Cloud project that asks."
  type        = string
}

variable "hosts" {
  description = "Full names that clients use: output of global/dns."
  type        = set(string)
  validation {
    condition     = length(var.hosts) > 0 && alltrue([for host in var.hosts : can(regex("^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\\.)+[a-z]{2,}$", host))])
    error_message = "hosts must hold at least one full name in lower case."
  }
}

variable "path" {
  description = "Path of the request. The edges forward it to a region's application."
  type        = string
  default     = "/health"
  validation {
    condition     = startswith(var.path, "/")
    error_message = "path must begin with /."
  }
}

variable "content" {
  description = "Text that a healthy answer contains; the status alone proves too little."
  type        = string
  default     = "\"status\":\"ok\""
  validation {
    condition     = length(var.content) > 0
    error_message = "content must not be empty: every answer would pass."
  }
}

variable "health_checks" {
  description = "Health check of every address of an edge, by name: output of global/dns."
  type        = map(string)
  default     = {}
}

variable "pager" {
  description = "E-mail addresses that receive alarms, by name. A pager's API key would be a secret in state, so use its e-mail address."
  type        = map(string)
  validation {
    condition     = length(var.pager) > 0 && alltrue([for address in values(var.pager) : can(regex("^[^@ ]+@[^@ ]+$", address))])
    error_message = "pager must hold at least one e-mail address: an alarm needs a receiver."
  }
}

variable "certificate_days" {
  description = "Days before a certificate's end at which the alarm fires. cert-manager renews at 30."
  type        = number
  default     = 20
  validation {
    condition     = var.certificate_days >= 7 && var.certificate_days < 30
    error_message = "certificate_days must be 7 to 29: cert-manager renews at 30 days."
  }
}

variable "runbook" {
  description = "Address of the runbook; each alarm contains it."
  type        = string
  validation {
    condition     = startswith(var.runbook, "https://")
    error_message = "runbook must be an https:// address."
  }
}
