# Inputs of the cluster.
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

variable "kubernetes_version" {
  description = "Kubernetes minor version; patches arrive by themselves in the maintenance window."
  type        = string
  default     = "1.36"
  validation {
    condition     = contains(["1.35", "1.36", "1.37"], var.kubernetes_version)
    error_message = "kubernetes_version must be 1.35, 1.36 or 1.37: the charts are checked against these."
  }
}

variable "subnet_ids" {
  description = "Subnets from module azure/network: nodes and api_server."
  type        = object({ nodes = string, api_server = string })
}

variable "ranges" {
  description = "Overlay range of the pods and range of the Services. Both come from 100.64.0.0/10 and belong to this cluster alone."
  type        = object({ pods = string, services = string })
  validation {
    condition     = alltrue([for cidr in values(var.ranges) : can(cidrnetmask(cidr)) && startswith(cidr, "100.")])
    error_message = "ranges.pods and ranges.services must be IPv4 ranges of 100.64.0.0/10, for example 100.65.0.0/17."
  }
  validation {
    condition     = var.ranges.pods != var.ranges.services
    error_message = "ranges.pods and ranges.services must differ."
  }
}

variable "node_management" {
  description = <<-EOT
    How nodes of applications and edges are sized.
    "pools": a pool per entry of node_pools, each with its size, zones and limits; the autoscaler adds nodes of that size.
    "auto": node auto-provisioning (Karpenter) picks a size for what waits and packs it again later. It needs overlay and Cilium
    (both are set here), ignores node_pools, cannot run Windows nodes, and prices follow what is scheduled, not what is planned.
  EOT
  type        = string
  default     = "pools"
  validation {
    condition     = contains(["pools", "auto"], var.node_management)
    error_message = "node_management must be \"pools\" or \"auto\"."
  }
}

variable "system_pool" {
  description = "Nodes of the cluster's own components, one per zone at least."
  type        = object({ vm_size = optional(string, "Standard_D2ads_v5"), min = optional(number, 3), max = optional(number, 5) })
  default     = {}
  validation {
    condition     = var.system_pool.min >= 3 && var.system_pool.max >= var.system_pool.min
    error_message = "system_pool needs min of at least 3, one per zone, and max of at least min."
  }
}

variable "node_pools" {
  description = "Pools of applications and edges by name: size, limits over all zones, spot or not, labels."
  type = map(object({
    vm_size = optional(string, "Standard_D4ads_v5")
    min     = optional(number, 3)
    max     = optional(number, 10)
    spot    = optional(bool, false)
    labels  = optional(map(string), {})
  }))
  default = { apps = {} }
  validation {
    condition     = alltrue([for name in keys(var.node_pools) : can(regex("^[a-z][a-z0-9]{0,11}$", name))])
    error_message = "A name in node_pools must be 1 to 12 lower-case letters or digits and begin with a letter: Azure takes no other."
  }
  validation {
    condition     = alltrue([for pool in values(var.node_pools) : pool.min >= (pool.spot ? 0 : 3) && pool.max >= pool.min])
    error_message = "A pool in node_pools needs min of at least 3, one per zone (spot pools may be empty), and max of at least min."
  }
}

variable "admin_group_ids" {
  description = "Object ids of the Entra groups that administer the cluster. The cluster has no local accounts."
  type        = list(string)
  validation {
    condition     = length(var.admin_group_ids) > 0 && alltrue([for id in var.admin_group_ids : can(regex("^[0-9a-f-]{36}$", id))])
    error_message = "admin_group_ids must hold at least one object id of an Entra group: local accounts are off."
  }
}

variable "encryption" {
  description = "From module azure/key-vault: etcd's key with its version, the disks' key and the identity that may use it, the vault that holds both."
  type        = object({ etcd_key_id = string, disk_key_id = string, disk_identity_id = string, vault_id = string })
}

variable "public_ip_scope" {
  description = "Resource group or public address that the cluster may put on its balancers: module edge/azure reserves them."
  type        = string
}

variable "log_storage_account_id" {
  description = "Storage account for the control plane's logs, from module azure/network."
  type        = string
}

variable "paid_sla" {
  description = "Pay for the control plane's SLA and its larger API servers. Only development clusters may do without it."
  type        = bool
  default     = true
}

variable "deletion_protection" {
  description = "Put a lock on the cluster that refuses its deletion. The lock covers node pools, too: remove it before you remove or resize a pool."
  type        = bool
  default     = true
}

variable "gateway_api" {
  description = "Install the managed Gateway API and its class approuting-istio (the managed nginx ended in November 2026)."
  type        = bool
  default     = true
}

variable "tags" {
  description = "Tags of every resource; environment and owner are required."
  type        = map(string)
  validation {
    condition     = alltrue([for key in ["environment", "owner"] : contains(keys(var.tags), key)])
    error_message = "tags must hold environment and owner: costs and alarms are assigned by them."
  }
}
