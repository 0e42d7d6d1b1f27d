# What a caller says about one cluster.

variable "project_id" {
  description = "Project that holds the cluster."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id is 6 to 30 lower-case letters, digits and hyphens, begins with a letter and does not end with a hyphen."
  }
}

variable "name" {
  description = "Name of the cluster, at most 25 characters so that the node account's name fits Google's 30."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,23}[a-z0-9]$", var.name))
    error_message = "name is 3 to 25 lower-case letters, digits and hyphens, begins with a letter and does not end with a hyphen."
  }
}

variable "region" {
  description = "Region of the control plane and the nodes."
  type        = string

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "region is a Google Cloud region such as europe-west1: a cluster of one zone dies with its zone."
  }
}

variable "zones" {
  description = "Three zones of the region that get nodes. Autopilot chooses its own."
  type        = set(string)

  validation {
    condition     = length(var.zones) == 3
    error_message = "zones names three zones: with two, losing one takes half of the cluster."
  }

  validation {
    condition     = alltrue([for zone in var.zones : startswith(zone, "${var.region}-")])
    error_message = "Every zone of zones is in the region."
  }
}

variable "network" {
  description = "Id of the network."
  type        = string
}

variable "subnet" {
  description = "Id of the private subnet."
  type        = string
}

variable "pods_range" {
  description = "Name of the subnet's secondary range for pods."
  type        = string
}

variable "services_range" {
  description = "Name of the subnet's secondary range for Services."
  type        = string
}

variable "node_tag" {
  description = "Network tag of the nodes: the one that gives them their way out."
  type        = string
}

variable "kubernetes_version" {
  description = "Minor version of the control plane. The release channel moves it on, nodes follow."
  type        = string
  default     = "1.36"

  validation {
    condition     = contains(["1.35", "1.36", "1.37"], var.kubernetes_version)
    error_message = "kubernetes_version is 1.35, 1.36 or 1.37: the charts are validated against these."
  }
}

variable "release_channel" {
  description = "How soon Google upgrades: RAPID, REGULAR, STABLE or EXTENDED."
  type        = string
  default     = "REGULAR"

  validation {
    condition     = contains(["RAPID", "REGULAR", "STABLE", "EXTENDED"], var.release_channel)
    error_message = "release_channel is RAPID, REGULAR, STABLE or EXTENDED."
  }
}

variable "autopilot" {
  description = <<-TEXT
    Google runs the nodes. Autopilot cannot do what an announced address needs: no hostNetwork or host ports, no
    privileged pods, no rules on the node. It also has no node pools of its own, no SSH to a node, no Falco with
    its own kernel probe, and a floor for each pod's requests. Edges behind a Service run as they are. A cluster
    cannot be changed from one kind to the other.
  TEXT
  type        = bool
  default     = false
}

variable "nodes" {
  description = "Nodes of a cluster that is not Autopilot. min and max count the whole cluster, not each zone."
  type = object({
    machine_type = optional(string, "e2-standard-4")
    min          = optional(number, 3)
    max          = optional(number, 12)
    disk_gb      = optional(number, 100)
    spot         = optional(bool, false)
  })
  default = {}

  validation {
    condition     = var.nodes.min >= 3 && var.nodes.max >= var.nodes.min
    error_message = "nodes.min is at least 3, one for each zone, and nodes.max is at least nodes.min."
  }

  validation {
    condition     = !can(regex("micro|small", var.nodes.machine_type))
    error_message = "nodes.machine_type has room for nothing beside the system's own pods: take e2-medium or larger."
  }
}

variable "external_api" {
  description = "Whether the control plane's DNS name answers outside Google Cloud. Either way IAM decides over each call (container.clusters.connect), and no IP address answers at all."
  type        = bool
  default     = false
}

variable "secrets_key" {
  description = "Id of the key that encrypts Secrets in etcd, in the cluster's region."
  type        = string

  validation {
    condition     = can(regex("/locations/${var.region}/keyRings/[^/]+/cryptoKeys/[^/]+$", var.secrets_key))
    error_message = "secrets_key is the full id of a key in the cluster's region (projects/…/locations/REGION/keyRings/…/cryptoKeys/…)."
  }
}

variable "disks_key" {
  description = "Id of the key that encrypts the nodes' disks, in the cluster's region."
  type        = string

  validation {
    condition     = can(regex("/locations/${var.region}/keyRings/[^/]+/cryptoKeys/[^/]+$", var.disks_key))
    error_message = "disks_key is the full id of a key in the cluster's region (projects/…/locations/REGION/keyRings/…/cryptoKeys/…)."
  }
}

variable "backup" {
  description = "Daily backup of all namespaces into another region, with a key of that region. null switches it off."
  type = object({
    region      = string
    kms_key     = string
    retain_days = optional(number, 35)
    lock_days   = optional(number, 7)
  })
  default = null

  validation {
    condition     = var.backup == null || try(var.backup.region != var.region, false)
    error_message = "backup.region differs from the cluster's region: a backup beside the cluster is lost with it."
  }

  validation {
    condition     = var.backup == null || try(var.backup.lock_days <= var.backup.retain_days, false)
    error_message = "backup.lock_days is at most backup.retain_days."
  }
}

variable "maintenance" {
  description = "Weekly window of upgrades in UTC: days by their RRULE names, first hour, length in hours."
  type = object({
    days  = optional(string, "SA,SU")
    start = optional(number, 2)
    hours = optional(number, 6)
  })
  default = {}

  validation {
    condition     = can(regex("^(MO|TU|WE|TH|FR|SA|SU)(,(MO|TU|WE|TH|FR|SA|SU))*$", var.maintenance.days))
    error_message = "maintenance.days lists days such as SA,SU."
  }

  validation {
    condition     = var.maintenance.start >= 0 && var.maintenance.start + var.maintenance.hours <= 23 && var.maintenance.hours >= 4
    error_message = "maintenance.hours is at least 4, and the window ends on the day on which it begins."
  }
}

variable "admins_group" {
  description = "Google group gke-security-groups@DOMAIN, whose nested groups RoleBindings may name. Empty for none."
  type        = string
  default     = ""

  validation {
    condition     = var.admins_group == "" || startswith(var.admins_group, "gke-security-groups@")
    error_message = "admins_group is empty or gke-security-groups@DOMAIN: GKE reads no other name."
  }
}

variable "deletion_protection" {
  description = "Whether Terraform refuses to delete the cluster."
  type        = bool
  default     = true
}

variable "labels" {
  description = "Labels of everything that can carry some; environment and owner are required."
  type        = map(string)

  validation {
    condition     = alltrue([for key in ["environment", "owner"] : contains(keys(var.labels), key)])
    error_message = "labels has at least the keys environment and owner."
  }
}
