# Inputs of the workloads' identities.
variable "name" {
  description = "Prefix of every resource's name, for example thalweg-production."
  type        = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,22}[a-z0-9]$", var.name))
    error_message = "name must be 4 to 24 lower-case letters, digits or hyphens, begin with a letter and not end with a hyphen."
  }
}

variable "resource_group" {
  description = "Resource group that holds everything of this environment and region."
  type        = object({ name = string, location = string })
}

variable "issuer" {
  description = "Issuer of the cluster's ServiceAccount tokens: oidc_issuer_url of module azure/aks."
  type        = string
  validation {
    condition     = startswith(var.issuer, "https://")
    error_message = "issuer must be an https:// address: tokens are checked against keys that are fetched from it."
  }
}

variable "workloads" {
  description = <<-EOT
    Workloads by name: the ServiceAccount that may take the identity, and what the identity may do.
    roles is a list of a built-in role and the scope it holds in, for example Key Vault Secrets User on VAULT_ID/secrets/NAME.
  EOT
  type = map(object({
    namespace       = string
    service_account = string
    roles           = optional(list(object({ role = string, scope = string })), [])
  }))
  validation {
    condition = alltrue(flatten([
      for workload in values(var.workloads) : [
        for part in [workload.namespace, workload.service_account] : can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", part))
      ]
    ]))
    error_message = "namespace and service_account in workloads must be names of Kubernetes without a wildcard."
  }
  validation {
    condition = alltrue(flatten([
      for workload in values(var.workloads) : [
        for right in workload.roles : !contains(["Owner", "Contributor", "User Access Administrator", "Role Based Access Control Administrator", "Key Vault Administrator"], right.role)
      ]
    ]))
    error_message = "A workload in workloads gets no administrator's role: name the one thing that it does."
  }
  validation {
    condition     = alltrue(flatten([for workload in values(var.workloads) : [for right in workload.roles : length(split("/", right.scope)) >= 9]]))
    error_message = "A scope in workloads must be one resource, or a part of one, never a subscription or resource group."
  }
}

variable "tags" {
  description = "Tags of every resource; environment and owner are required."
  type        = map(string)
  validation {
    condition     = alltrue([for key in ["environment", "owner"] : contains(keys(var.tags), key)])
    error_message = "tags must hold environment and owner: costs and alarms are assigned by them."
  }
}
