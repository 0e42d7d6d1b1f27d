# What differs between one region of one environment and another.

variable "name" {
  description = "Name of the region's cluster and network, and start of its parts' names: `thalweg-<environment>-<region>`."
  type        = string

  validation {
    condition     = can(regex("^thalweg-[a-z]+-[a-z0-9-]{4,20}$", var.name))
    error_message = "The name is 'thalweg-<environment>-<region>': the role that applies may make roles of that beginning only."
  }
}

variable "addresses" {
  description = "The region's entry of `addresses.json`."
  type        = object({ network = string, services = string })
}

variable "zones" {
  description = "Three availability zones."
  type        = list(string)
}

variable "edges" {
  description = "Fixed addresses from which edges of other regions and clouds send, by name: `edges.json` of the environment. This region's own are added."
  type        = map(string)
  default     = {}
}

variable "kubernetes_version" {
  description = "Minor version of Kubernetes."
  type        = string
}

variable "compute" {
  description = "`karpenter` or `auto`: see `modules/aws/eks`."
  type        = string
  default     = "karpenter"
}

variable "admins" {
  description = "Roles that administer the cluster, by a name of your choice."
  type        = map(string)
}

variable "viewers" {
  description = "Roles that may look into the cluster, by a name of your choice."
  type        = map(string)
  default     = {}
}

variable "api_clients" {
  description = "Private networks that reach the cluster's API besides its own: where Terraform, Argo CD or a VPN is."
  type        = set(string)
  default     = []
}

variable "public_access_cidrs" {
  description = "Addresses from which the cluster's API is also reached over the internet: see `modules/aws/eks`."
  type        = list(string)
  default     = []
}

variable "nat" {
  description = "`per-zone` or `single`: see `modules/aws/network`."
  type        = string
  default     = "per-zone"
}

variable "system_nodes" {
  description = "The managed nodes of the system: see `modules/aws/eks`."
  type        = object({ instance_types = optional(list(string)), architecture = optional(string), min = optional(number), max = optional(number) })
  default     = {}
}

variable "database" {
  description = "The application's database; none if null."
  type        = object({ instance_class = string, multi_az = bool, backup_days = optional(number, 35), storage_gib = optional(number, 50) })
  default     = null
}

variable "cache" {
  description = "The application's cache; none if null."
  type        = object({ node_type = string, nodes = optional(number, 3) })
  default     = null
}

variable "search" {
  description = "A search domain for logs; none if null."
  type        = object({ instance_type = string, volume_gib = optional(number, 100), administrator = string })
  default     = null
}

variable "waf_mode" {
  description = "`block` or `count`: see `modules/aws/waf`."
  type        = string
  default     = "block"
}

variable "copy_region" {
  description = "Region of copies of backups."
  type        = string

  validation {
    condition     = !endswith(var.name, var.copy_region)
    error_message = "Copies belong into another region than the one they are copies of."
  }
}

variable "backup_lock" {
  description = "`governance` or `compliance`: see `modules/aws/backup`."
  type        = string
  default     = "governance"
}

variable "deletion_protection" {
  description = "Whether cluster and database refuse to be deleted."
  type        = bool
  default     = true
}

variable "permissions_boundary" {
  description = "Policy that bounds every role made here, from `bootstrap/aws`: without it the role that applies may make none."
  type        = string

  validation {
    condition     = can(regex("^arn:[a-z-]+:iam::[0-9]{12}:policy/", var.permissions_boundary))
    error_message = "The boundary is the ARN of a policy, such as 'arn:aws:iam::111122223333:policy/thalweg-boundary'."
  }
}

variable "http3" {
  description = "Whether clients reach the edges over UDP as well: where a listener of the chart has the protocol `h3`."
  type        = bool
  default     = false
}
