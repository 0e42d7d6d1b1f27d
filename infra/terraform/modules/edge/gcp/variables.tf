# What a caller says about the way to the edges of one region.

variable "project_id" {
  description = "Project of the edges."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id is 6 to 30 lower-case letters, digits and hyphens, begins with a letter and does not end with a hyphen."
  }
}

variable "region" {
  description = "Region of the edges."
  type        = string

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "region is a Google Cloud region such as europe-west1, not a zone."
  }
}

variable "name" {
  description = "Name of the address. The chart's Service asks for it: `networking.gke.io/load-balancer-ip-addresses`."
  type        = string
  default     = "thalweg-edge"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,48}[a-z0-9]$", var.name))
    error_message = "name is 2 to 50 lower-case letters, digits and hyphens, begins with a letter and does not end with a hyphen."
  }
}

variable "ports" {
  description = "TCP ports for clients."
  type        = set(string)
  default     = ["443"]

  validation {
    condition     = length(var.ports) > 0 && length(setsubtract(var.ports, ["80", "443"])) == 0
    error_message = "ports holds 443, 80 or both: the admin port and SSH are never public."
  }
}

variable "machines" {
  description = <<-TEXT
    Edges on machines without Kubernetes: their network, the instance groups that hold them, their network tag, and the
    port at which /readyz answers Google's health checks (bind the admin address to the private one and set token_file).
    null where GKE makes the balancer for a Service.
  TEXT
  type = object({
    network    = string
    groups     = set(string)
    tag        = string
    admin_port = optional(number, 9900)
  })
  default = null

  validation {
    condition     = var.machines == null || try(length(var.machines.groups) > 0, false)
    error_message = "machines.groups names at least one instance group: a balancer without machines answers no client."
  }

  validation {
    condition     = var.machines == null || try(var.machines.admin_port >= 1024 && var.machines.admin_port <= 65535, false)
    error_message = "machines.admin_port is between 1024 and 65535."
  }
}

variable "labels" {
  description = "Labels of everything that can carry some; environment and owner are required."
  type        = map(string)

  validation {
    condition     = alltrue([for key in ["environment", "owner"] : contains(keys(var.labels), key)])
    error_message = "labels has at least the keys environment and owner."
  }
}

variable "http3" {
  description = "Whether clients reach edges on machines over UDP as well: where a listener has the protocol `h3`. For a Service GKE opens what it names."
  type        = bool
  default     = false
}
