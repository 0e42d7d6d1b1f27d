# What a caller says about the three machines.

variable "project_id" {
  description = "Project that holds the machines."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id is 6 to 30 lower-case letters, digits and hyphens, begins with a letter and does not end with a hyphen."
  }
}

variable "project_number" {
  description = "Number of the project: Google's agents that encrypt are named after it."
  type        = number

  validation {
    condition     = var.project_number > 0 && floor(var.project_number) == var.project_number
    error_message = "project_number is the project's number, as `gcloud projects describe` prints it."
  }
}

variable "name" {
  description = "Prefix of every name."
  type        = string
  default     = "kubeadm"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,13}[a-z0-9]$", var.name))
    error_message = "name is 3 to 15 lower-case letters, digits and hyphens: accounts' names have room for no more."
  }
}

variable "zone" {
  description = "Zone of the machines."
  type        = string

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+-[a-z]$", var.zone))
    error_message = "zone is a Google Cloud zone such as asia-south1-a, not a region."
  }
}

variable "addresses" {
  description = "Ranges of machines (a /24), pods and Services: kubeadm in infra/terraform/addresses.json."
  type        = object({ network = string, pods = string, services = string })
  default     = { network = "10.160.0.0/24", pods = "100.70.0.0/17", services = "100.70.128.0/20" }

  validation {
    condition     = can(cidrhost(var.addresses.network, 5)) && endswith(var.addresses.network, "/24")
    error_message = "addresses.network is a /24, such as 10.160.0.0/24: the machines are its third to fifth address."
  }

  validation {
    condition     = alltrue([for range in [var.addresses.pods, var.addresses.services] : can(cidrhost(range, 0)) && startswith(range, "100.")])
    error_message = "addresses.pods and addresses.services are ranges inside 100.64.0.0/10 that no other cluster uses."
  }
}

variable "kubernetes_version" {
  description = "Minor version of Kubernetes. The source that this answers asks for 1.30, which gets no fixes any more."
  type        = string
  default     = "1.36"

  validation {
    condition     = contains(["1.35", "1.36", "1.37"], var.kubernetes_version)
    error_message = "kubernetes_version is 1.35, 1.36 or 1.37: older ones get no fixes."
  }
}

variable "key_fingerprint" {
  description = "Fingerprint of the key that signs Kubernetes' packages. With another key nothing is installed."
  type        = string
  default     = "DE15B14486CD377B9E876E1A234654DA9A296436"

  validation {
    condition     = can(regex("^[0-9A-F]{40}$", var.key_fingerprint))
    error_message = "key_fingerprint is 40 hexadecimal digits in upper case, as `gpg --show-keys` prints it."
  }
}

variable "image" {
  description = "Image of the machines: one with cloud-init and containerd 2, such as Ubuntu 26.04. Google's Debian images have no cloud-init."
  type        = string
  default     = "ubuntu-os-cloud/ubuntu-2604-lts-amd64"

  validation {
    condition     = startswith(var.image, "ubuntu-os-cloud/") || strcontains(var.image, "/images/")
    error_message = "image is a family of ubuntu-os-cloud, or projects/…/global/images/… of an image with cloud-init."
  }
}

variable "machine_type" {
  description = "Type of the machines: two processors and 4 GB or more."
  type        = string
  default     = "e2-medium"

  validation {
    condition     = !can(regex("micro|small", var.machine_type))
    error_message = "machine_type has at least two processors and 4 GB, such as e2-medium: kubeadm refuses less."
  }
}

variable "disk_gb" {
  description = "Size of each machine's disk in GB."
  type        = number
  default     = 40

  validation {
    condition     = var.disk_gb >= 30 && floor(var.disk_gb) == var.disk_gb
    error_message = "disk_gb is a whole number of at least 30: images and logs fill less."
  }
}

variable "node_port_clients" {
  description = "Networks that reach the node ports 30080 to 30082 and 30090. Empty: no network outside."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for range in var.node_port_clients : can(cidrhost(range, 0)) && try(tonumber(split("/", range)[1]) >= 8, false)])
    error_message = "Each network of node_port_clients is a CIDR of /8 or smaller: node ports are not for the whole Internet."
  }
}

variable "operators" {
  description = "IAM members that reach the machines by SSH through Identity-Aware Proxy. The machines have no external address."
  type        = set(string)

  validation {
    condition     = length(var.operators) > 0 && alltrue([for member in var.operators : can(regex("^(group|user|serviceAccount|principal|principalSet):", member))])
    error_message = "operators names at least one IAM member, such as group:oncall@example.com: without one the machines cannot be reached."
  }
}

variable "snapshots_region" {
  description = "Region that keeps etcd's snapshots."
  type        = string

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.snapshots_region)) && !startswith(var.zone, "${var.snapshots_region}-")
    error_message = "snapshots_region is a region other than that of zone: a snapshot beside the machine is lost with it."
  }
}

variable "deletion_protection" {
  description = "Whether Google refuses to delete the machines."
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
