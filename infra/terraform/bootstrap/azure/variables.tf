# Inputs of the bootstrap: run once by a person, before any environment exists.
variable "location" {
  description = "Azure region of the state and of the pipeline's identities."
  type        = string
  default     = "southeastasia"
}

variable "subscription_id" {
  description = "Subscription that holds state and identities, apart from those of the environments."
  type        = string
  validation {
    condition     = can(regex("^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", var.subscription_id))
    error_message = "subscription_id must be a UUID in lower case."
  }
}

variable "accounts" {
  description = "Names of the storage accounts for state and for the audit of its readers, and of the vault with their key. All are unique in Azure."
  type        = object({ state = string, audit = string, vault = string })
  validation {
    condition     = alltrue([for name in [var.accounts.state, var.accounts.audit] : can(regex("^[a-z0-9]{3,24}$", name))])
    error_message = "accounts.state and accounts.audit must be 3 to 24 lower-case letters or digits."
  }
  validation {
    condition     = can(regex("^[a-zA-Z][a-zA-Z0-9-]{1,22}[a-zA-Z0-9]$", var.accounts.vault))
    error_message = "accounts.vault must be 3 to 24 letters, digits or hyphens and begin with a letter."
  }
}

variable "repository" {
  description = "GitHub repository whose pipeline may take the identities, as OWNER/NAME."
  type        = string
  validation {
    condition     = can(regex("^[A-Za-z0-9-]+/[A-Za-z0-9._-]+$", var.repository))
    error_message = "repository must be OWNER/NAME without a wildcard: any other repository could take the identities."
  }
}

variable "environments" {
  description = "Environments by name, each with a subscription of its own: rights end at its border."
  type        = map(object({ subscription_id = string }))
  validation {
    condition     = length(setsubtract(keys(var.environments), ["development", "staging", "production"])) == 0
    error_message = "environments may hold development, staging and production."
  }
  validation {
    condition     = length(distinct(values(var.environments)[*].subscription_id)) == length(var.environments)
    error_message = "Each of the environments needs a subscription of its own: a shared one would let development change production."
  }
}

variable "runner_addresses" {
  description = "Public addresses (192.0.2.1) or ranges up to /30 of the machines that run terraform. The state's firewall refuses all others."
  type        = list(string)
  validation {
    condition = length(var.runner_addresses) > 0 && alltrue([
      for address in var.runner_addresses :
      strcontains(address, "/") ? can(cidrnetmask(address)) && tonumber(split("/", address)[1]) >= 8 && tonumber(split("/", address)[1]) <= 30 : can(cidrnetmask("${address}/32"))
    ])
    error_message = "runner_addresses must hold at least one IPv4 address, or range of /8 to /30: storage firewalls take no /31 or /32."
  }
}

variable "administrators" {
  description = "Object id of the Entra group that writes the environments' secrets."
  type        = string
  validation {
    condition     = can(regex("^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", var.administrators))
    error_message = "administrators must be the object id of an Entra group, a UUID in lower case."
  }
}

variable "tags" {
  description = "Tags of every resource; environment and owner are required."
  type        = map(string)
  default     = { environment = "bootstrap", owner = "platform" }
  validation {
    condition     = alltrue([for key in ["environment", "owner"] : contains(keys(var.tags), key)])
    error_message = "tags must hold environment and owner: costs and alarms are assigned by them."
  }
}
