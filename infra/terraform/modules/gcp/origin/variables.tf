# What a caller says about the way to one region's application.

variable "project_id" {
  description = "Project of the balancer."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id is 6 to 30 lower-case letters, digits and hyphens, begins with a letter and does not end with a hyphen."
  }
}

variable "region" {
  description = "Region of the balancer."
  type        = string

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "region is a Google Cloud region such as europe-west1, not a zone."
  }
}

variable "scope" {
  description = "regional for a balancer made by a Gateway (values-gcp.yaml), global for one made by an Ingress (values-gcp-ingress.yaml)."
  type        = string
  default     = "regional"

  validation {
    condition     = contains(["regional", "global"], var.scope)
    error_message = "scope is regional or global: Google keeps addresses and policies of the two apart."
  }
}

variable "releases" {
  description = "Releases of the chart fastapi-app that are reached from outside; each has an address of its name."
  type        = set(string)
  default     = ["fastapi-app"]

  validation {
    condition     = length(var.releases) > 0 && alltrue([for release in var.releases : can(regex("^[a-z][a-z0-9-]{0,61}[a-z0-9]$", release))])
    error_message = "releases names at least one release, in lower-case letters, digits and hyphens."
  }
}

variable "edges" {
  description = "Fixed egress addresses of the edges of every cloud, each as /32 (or /128). Other clients are refused."
  type        = set(string)

  validation {
    condition     = length(var.edges) > 0 && alltrue([for address in var.edges : can(cidrhost(address, 0)) && can(regex("(/32|/128)$", address))])
    error_message = "edges lists at least one address, each as /32 or /128: a wider range lets strangers in."
  }

  validation {
    condition     = length(var.edges) <= 100
    error_message = "edges has at most 100 addresses: a policy has room for ten rules of ten beside the others."
  }
}

variable "waf_preview" {
  description = "Whether rules against attacks only log what they would refuse. Begin with true and read the log, then enforce."
  type        = bool
  default     = false
}

variable "labels" {
  description = "Labels of everything that can carry some; environment and owner are required."
  type        = map(string)

  validation {
    condition     = alltrue([for key in ["environment", "owner"] : contains(keys(var.labels), key)])
    error_message = "labels has at least the keys environment and owner."
  }
}
