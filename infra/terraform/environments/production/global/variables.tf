# Values that differ between environments, set in terraform.tfvars. The modules validate them.
variable "environment" {
  description = "development, staging or production."
  type        = string
  validation {
    condition     = basename(dirname(abspath(path.root))) == var.environment
    error_message = "environment must be the name of the folder above: these values belong to another environment."
  }
}

variable "aws" {
  description = "Account that holds the zone, and the organizational unit that the rules are for (null without an organization)."
  type        = object({ account = string, unit = optional(string) })
}

variable "google" {
  description = "Project that asks from outside, and that the rules are for."
  type        = object({ project = string })
}

variable "azure" {
  description = "Subscription that the rules are for."
  type        = object({ subscription_id = string })
}

variable "dns" {
  description = "Zone, names in it, and how they lead to edges; see global/dns."
  type        = object({ zone = string, hosts = optional(set(string), ["api"]), steering = optional(string, "all"), ttl_s = optional(number, 60) })
}

variable "edges" {
  description = "Edges by place: their addresses, outputs of the places."
  type        = map(object({ ipv4 = list(string), ipv6 = optional(list(string), []), region = optional(string), weight = optional(number, 100) }))
}

variable "clusters" {
  description = "Clusters by place: issuer of their tokens, and the names of the region itself, beside those of the edges."
  type        = map(object({ issuer = string, hosts = set(string) }))
}

variable "contact" {
  description = "E-mail address for security."
  type        = string
}

variable "phone" {
  description = "Telephone number for security, with the country's prefix."
  type        = string
}

variable "pager" {
  description = "E-mail addresses that receive alarms, by name."
  type        = map(string)
}

variable "runbook" {
  description = "Where RUNBOOK.md is read."
  type        = string
}
