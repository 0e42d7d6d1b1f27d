# What a caller says about the identities of the workloads of one cluster.

variable "project_id" {
  description = "Project that holds cluster and identities."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id is 6 to 30 lower-case letters, digits and hyphens, begins with a letter and does not end with a hyphen."
  }
}

variable "workloads" {
  description = <<-TEXT
    Workloads by the name of their account (6 to 30 characters), each with the Kubernetes account that may use it and
    the roles that it has in the project. Roles over one secret or repository belong to the modules of those.
  TEXT
  type = map(object({
    namespace = string
    account   = string
    roles     = optional(set(string), [])
  }))

  validation {
    condition     = alltrue([for name in keys(var.workloads) : can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", name))])
    error_message = "A workload's name is 6 to 30 lower-case letters, digits and hyphens: it becomes an account's name."
  }

  validation {
    condition     = alltrue([for workload in values(var.workloads) : can(regex("^[a-z0-9-]{1,63}$", workload.namespace)) && can(regex("^[a-z0-9.-]{1,253}$", workload.account))])
    error_message = "namespace and account are exact Kubernetes names: a wildcard would hand the identity to every pod."
  }

  validation {
    condition     = alltrue(flatten([for workload in values(var.workloads) : [for role in workload.roles : !can(regex("roles/(owner|editor|viewer|iam\\.|resourcemanager\\.)|[aA]dmin$", role))]]))
    error_message = "A workload gets no basic role, no admin role and no role over IAM."
  }
}

variable "workload_pool" {
  description = "Pool of the cluster's identities, PROJECT.svc.id.goog. An account answers to it, so the cluster has to exist first."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]\\.svc\\.id\\.goog$", var.workload_pool))
    error_message = "workload_pool is PROJECT.svc.id.goog, an output of modules/gcp/gke."
  }
}
