# Which workloads take on which rights.

variable "cluster_name" {
  description = "EKS cluster whose pods take on the roles; start of the roles' names."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,40}$", var.cluster_name))
    error_message = "A cluster's name has 3 to 41 small letters, digits and '-', and begins with a letter."
  }
}

variable "workloads" {
  description = "By name: the service account that takes the role on, managed policies, and statements of an own policy as JSON list (`jsonencode([...])`)."
  type = map(object({
    namespace        = string
    service_account  = string
    managed_policies = optional(set(string), [])
    statements       = optional(string)
  }))

  validation {
    condition     = alltrue([for workload in var.workloads : workload.statements == null || can(jsondecode(workload.statements)[0].Effect)])
    error_message = "The statements of a workload are a JSON list of IAM statements: write jsonencode([...])."
  }
  validation {
    condition = alltrue([
      for workload in var.workloads : length(workload.managed_policies) > 0 || workload.statements != null
    ])
    error_message = "A workload without any right needs no role: leave it out."
  }
  validation {
    condition     = alltrue([for policy in flatten([for workload in var.workloads : tolist(workload.managed_policies)]) : !endswith(policy, "/AdministratorAccess") && !endswith(policy, "FullAccess")])
    error_message = "No workload is an administrator of anything: give it the statements that it needs instead of a FullAccess policy."
  }
}

variable "oidc" {
  description = "The cluster's issuer, if service accounts also take their role on by its tokens: External Secrets does so for the stores of the charts, which name the role in the service account's annotation."
  type        = object({ arn = string, issuer = string })
  default     = null

  validation {
    condition     = var.oidc == null ? true : startswith(var.oidc.issuer, "https://")
    error_message = "The issuer is the cluster's https:// address."
  }
}

variable "permissions_boundary" {
  description = "Policy that bounds every role made here, from `bootstrap/aws`: without it the role that applies may make none."
  type        = string

  validation {
    condition     = can(regex("^arn:[a-z-]+:iam::[0-9]{12}:policy/", var.permissions_boundary))
    error_message = "The boundary is the ARN of a policy, such as 'arn:aws:iam::111122223333:policy/thalweg-boundary'."
  }
}
