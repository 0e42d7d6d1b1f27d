# What one cluster is made of.

variable "name" {
  description = "Name of the cluster and of its network's discovery tag."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,40}$", var.name))
    error_message = "A cluster's name has 3 to 41 small letters, digits and '-', and begins with a letter."
  }
}

variable "kubernetes_version" {
  description = "Minor version of Kubernetes. It only rises, one minor at a time."
  type        = string
  default     = "1.36"

  validation {
    condition     = contains(["1.35", "1.36", "1.37"], var.kubernetes_version)
    error_message = "Use Kubernetes 1.35, 1.36 or 1.37: 1.34 leaves EKS's standard support on 2026-12-02."
  }
}

variable "network" {
  description = "The network that the subnets are of."
  type        = string
}

variable "subnets" {
  description = "Private subnets in three zones: nodes, pods and the private endpoint."
  type        = list(string)

  validation {
    condition     = length(distinct(var.subnets)) >= 3
    error_message = "Give three private subnets: a cluster that survives a zone needs two others."
  }
}

variable "services_cidr" {
  description = "Addresses of Services, from `addresses.json`; cannot be changed later."
  type        = string

  validation {
    condition     = can(cidrhost(var.services_cidr, 0)) && can(regex("^(10|172|192)\\.", var.services_cidr))
    error_message = "Services have a range of their own in 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16: EKS takes no other."
  }
}

variable "compute" {
  description = "`karpenter`: managed nodes for the system, Karpenter makes the rest (you install it). `auto`: EKS Auto Mode makes all. See above."
  type        = string
  default     = "karpenter"

  validation {
    condition     = contains(["karpenter", "auto"], var.compute)
    error_message = "compute is 'karpenter' or 'auto'."
  }
}

variable "system_nodes" {
  description = "The managed nodes that carry the system and Karpenter; not used with `auto`."
  type = object({
    instance_types = optional(list(string), ["t3.medium"])
    architecture   = optional(string, "x86_64")
    min            = optional(number, 3)
    max            = optional(number, 10)
    disk_gib       = optional(number, 50)
  })
  default = {}

  validation {
    condition     = var.system_nodes.min >= 2 && var.system_nodes.max >= var.system_nodes.min
    error_message = "The system runs on at least two nodes, and max is at least min."
  }
  validation {
    condition     = contains(["x86_64", "arm64"], var.system_nodes.architecture)
    error_message = "The architecture is 'x86_64' or 'arm64'; the instance types must match it."
  }
}

variable "admins" {
  description = "Roles that administer the cluster, by a name of your choice. The cluster's creator gets no rights by creating it."
  type        = map(string)

  validation {
    condition     = length(var.admins) > 0 && alltrue([for role in var.admins : can(regex("^arn:[a-z-]+:iam::[0-9]{12}:role/", role))])
    error_message = "Name at least one role as administrator, by its ARN; an IAM user, with its long-lived keys, is refused."
  }
}

variable "viewers" {
  description = "Roles that may look but not touch, by a name of your choice."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for role in var.viewers : can(regex("^arn:[a-z-]+:iam::[0-9]{12}:role/", role))])
    error_message = "Viewers are ARNs of roles."
  }
}

variable "public_access_cidrs" {
  description = "Addresses from which the API is also reached over the internet; none by default: the endpoint is private."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for cidr in var.public_access_cidrs : can(cidrhost(cidr, 0)) && try(tonumber(split("/", cidr)[1]) >= 24, false)])
    error_message = "The API is opened to networks of /24 or smaller at most, never to the whole internet."
  }
}

variable "api_clients" {
  description = "Private networks that reach the API besides the cluster's own nodes: where Terraform, Argo CD or a VPN is."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for cidr in var.api_clients : can(cidrhost(cidr, 0)) && cidr != "0.0.0.0/0"])
    error_message = "Clients of the API are networks such as 10.10.0.0/16, not everything."
  }
}

variable "log_days" {
  description = "How long the control plane's logs are kept."
  type        = number
  default     = 365

  validation {
    condition     = contains([90, 180, 365, 400, 731], var.log_days)
    error_message = "The control plane's logs are kept for 90, 180, 365, 400 or 731 days."
  }
}

variable "deletion_protection" {
  description = "Whether EKS refuses to delete the cluster. Take it off in a change of its own."
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
