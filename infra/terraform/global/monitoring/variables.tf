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
  description = "What is asked for: the edges pass it to a region's application."
  type        = string
  default     = "/health"
  validation {
    condition     = startswith(var.path, "/")
    error_message = "path must begin with /."
  }
}

variable "content" {
  description = "What a right answer holds: a page that says 200 for something else is no health."
  type        = string
  default     = "\"status\":\"ok\""
  validation {
    condition     = length(var.content) > 0
    error_message = "content must not be empty: any answer would do."
  }
}

variable "health_checks" {
  description = "Health check of every address of an edge, by name: output of global/dns."
  type        = map(string)
  default     = {}
}

variable "pager" {
  description = "E-mail addresses that are told, by name. A pager's own key would be a secret in state: give it an e-mail entry."
  type        = map(string)
  validation {
    condition     = length(var.pager) > 0 && alltrue([for address in values(var.pager) : can(regex("^[^@ ]+@[^@ ]+$", address))])
    error_message = "pager must hold at least one e-mail address: an alarm without a reader is none."
  }
}

variable "certificate_days" {
  description = "Days before a certificate's end on which somebody is told. cert-manager renews at 30."
  type        = number
  default     = 20
  validation {
    condition     = var.certificate_days >= 7 && var.certificate_days < 30
    error_message = "certificate_days must be 7 to 29: from 30 on cert-manager has not had its turn yet."
  }
}

variable "runbook" {
  description = "Where it says what to do, written into each alarm."
  type        = string
  validation {
    condition     = startswith(var.runbook, "https://")
    error_message = "runbook must be an https:// address."
  }
}
