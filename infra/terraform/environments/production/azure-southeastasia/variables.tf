# Values of this place, set in terraform.tfvars. modules/azure/region explains and validates them.
variable "environment" {
  description = "development, staging or production."
  type        = string
  validation {
    condition     = basename(dirname(abspath(path.root))) == var.environment
    error_message = "environment must be the name of the folder above: these values belong to another environment."
  }
}

variable "subscription_id" {
  description = "Subscription of this environment."
  type        = string
}

variable "owner" {
  description = "Contact for costs and alarms; becomes the tag `owner`."
  type        = string
}

variable "suffix" {
  description = "Makes the names of vault, registry and storage unique in Azure: 2 to 4 letters or digits."
  type        = string
}

variable "publisher" {
  description = "Object id of the pipeline's identity that pushes images: principal_ids of bootstrap/azure."
  type        = string
}

variable "edge_egress_cidrs" {
  description = "Egress ranges of the edges in the other clouds and regions."
  type        = list(string)
}

variable "groups" {
  description = "Entra groups that administer the cluster and the database."
  type        = object({ cluster = string, database = object({ object_id = string, name = string }) })
}

variable "cluster" {
  description = "Cluster: Kubernetes minor, SLA, node pools; see modules/azure/aks."
  type = object({
    kubernetes_version = string
    paid_sla           = optional(bool, true)
    node_management    = optional(string, "pools")
    system_pool        = optional(object({ vm_size = optional(string), min = optional(number), max = optional(number) }), {})
    node_pools = optional(map(object({
      vm_size = optional(string)
      min     = optional(number)
      max     = optional(number)
      spot    = optional(bool)
      labels  = optional(map(string))
    })), { apps = {} })
  })
}

variable "database" {
  description = "Database: machine, storage, days of backups; see modules/azure/postgresql."
  type = object({
    size              = optional(object({ sku = optional(string), storage_gb = optional(number) }), {})
    retention_in_days = optional(number, 35)
  })
  default = {}
}

variable "cache_sku" {
  description = "Size of the cache; see modules/azure/redis."
  type        = string
}

variable "backup_region" {
  description = "Paired region that holds copies of the database's backups."
  type        = string
}

variable "registry_replicas" {
  description = "Regions that hold a copy of the images, so that nodes can pull while this region is down."
  type        = set(string)
  default     = []
}

variable "log_retention_in_days" {
  description = "How long logs are kept."
  type        = number
  default     = 90
}

variable "ddos_protection" {
  description = "\"Enabled\" or \"VirtualNetworkInherited\"; see modules/edge/azure."
  type        = string
  default     = "Enabled"
}

variable "deletion_protection" {
  description = "Locks on cluster and database."
  type        = bool
  default     = true
}

variable "dns_zone_id" {
  description = "Azure DNS zone in which cert-manager proves names; null where certificates are proven elsewhere."
  type        = string
  default     = null
}

variable "budget" {
  description = "Planned costs of a month in the bill's currency, recipients of messages, first month; see modules/azure/budget."
  type        = object({ monthly_amount = number, emails = list(string), since = string })
}

variable "http3" {
  description = "Whether clients reach the edges over UDP as well: where a listener of the chart has the protocol `h3`."
  type        = bool
  default     = false
}
