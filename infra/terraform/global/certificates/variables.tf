# Inputs of the identities that prove names.
variable "name" {
  description = "Prefix of the roles' names; the account's own roles begin with thalweg-."
  type        = string
  default     = "thalweg-certificates"
  validation {
    condition     = can(regex("^thalweg-[a-z0-9-]{1,40}$", var.name))
    error_message = "name must begin with thalweg- and have at most 48 lower-case letters, digits or hyphens."
  }
}

variable "zone_id" {
  description = "The zone: output of global/dns."
  type        = string
}

variable "hosts" {
  description = "Full names that certificates are for: the edges' names and the regions' own."
  type        = set(string)
  validation {
    condition     = length(var.hosts) > 0 && alltrue([for host in var.hosts : can(regex("^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\\.)+[a-z]{2,}$", host))])
    error_message = "hosts must hold at least one full name in lower case without a wildcard: each proof is bound to its name."
  }
}

variable "clusters" {
  description = "Clusters of all clouds by name: issuer of their ServiceAccount tokens, and the names that their certificates may be for."
  type        = map(object({ issuer = string, hosts = set(string) }))
  validation {
    condition     = alltrue([for cluster in values(var.clusters) : startswith(cluster.issuer, "https://")])
    error_message = "An issuer in clusters must be an https:// address: AWS fetches keys from it."
  }
  validation {
    condition     = length(distinct(values(var.clusters)[*].issuer)) == length(var.clusters)
    error_message = "Each of the clusters has an issuer of its own."
  }
  validation {
    condition     = alltrue([for cluster in values(var.clusters) : length(cluster.hosts) > 0 && length(setsubtract(cluster.hosts, var.hosts)) == 0])
    error_message = "hosts of each of the clusters must be among hosts, and at least one."
  }
}

variable "service_account" {
  description = "cert-manager's ServiceAccount, as NAMESPACE:NAME."
  type        = string
  default     = "cert-manager:cert-manager"
  validation {
    condition     = can(regex("^[a-z0-9-]+:[a-z0-9-]+$", var.service_account))
    error_message = "service_account must be NAMESPACE:NAME without a wildcard: every pod of the cluster could prove names."
  }
}

variable "permissions_boundary" {
  description = "Policy that bounds the roles, for example the account's thalweg-boundary; null in an account without one."
  type        = string
  default     = null
}
