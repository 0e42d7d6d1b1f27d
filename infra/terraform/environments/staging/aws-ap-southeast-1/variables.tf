# Values of this place: terraform.tfvars. What they mean: modules/aws/region.

variable "account" {
  description = "The account; another one is refused."
  type        = string
}

variable "kubernetes_version" {
  description = "Minor version of Kubernetes."
  type        = string
}

variable "compute" {
  description = "`karpenter` or `auto`."
  type        = string
}

variable "admins" {
  description = "Roles that administer the cluster."
  type        = map(string)
}

variable "viewers" {
  description = "Roles that may look into the cluster."
  type        = map(string)
  default     = {}
}

variable "api_clients" {
  description = "Private networks that reach the cluster's API."
  type        = set(string)
  default     = []
}

variable "public_access_cidrs" {
  description = "Addresses from which the cluster's API is also reached over the internet."
  type        = list(string)
  default     = []
}

variable "edges" {
  description = "Fixed addresses from which edges of other places send: their outputs."
  type        = map(string)
}

variable "nat" {
  description = "`per-zone` or `single`."
  type        = string
}

variable "system_nodes" {
  description = "The managed nodes of the system."
  type        = object({ instance_types = optional(list(string)), architecture = optional(string), min = optional(number), max = optional(number) })
}

variable "database" {
  description = "The application's database; none if null."
  type        = object({ instance_class = string, multi_az = bool, backup_days = optional(number), storage_gib = optional(number) })
}

variable "cache" {
  description = "The application's cache; none if null."
  type        = object({ node_type = string, nodes = optional(number) })
}

variable "search" {
  description = "A search domain for logs; none if null."
  type        = object({ instance_type = string, volume_gib = optional(number), administrator = string })
  default     = null
}

variable "waf_mode" {
  description = "`block` or `count`."
  type        = string
}

variable "backup_lock" {
  description = "`governance` or `compliance`."
  type        = string
}

variable "deletion_protection" {
  description = "Whether cluster and database refuse to be deleted."
  type        = bool
}

variable "http3" {
  description = "Whether clients reach the edges over UDP as well: where a listener of the chart has the protocol `h3`."
  type        = bool
  default     = false
}
