# What depends on whose project this is; terraform.tfvars has examples.

variable "project_id" {
  description = "Project of the machines."
  type        = string
}

variable "project_number" {
  description = "Number of the project."
  type        = number
}

variable "zone" {
  description = "Zone of the machines."
  type        = string
  default     = "asia-south1-a"
}

variable "snapshots_region" {
  description = "Region of etcd's snapshots."
  type        = string
  default     = "asia-south2"
}

variable "operators" {
  description = "IAM members that reach the machines by SSH through Identity-Aware Proxy: the group on call, and the pipeline."
  type        = set(string)
}

variable "node_port_clients" {
  description = "Networks that reach the node ports."
  type        = set(string)
  default     = []
}

variable "owner" {
  description = "Who answers for the machines; becomes a label."
  type        = string
  default     = "platform"
}

variable "state_key" {
  description = "Id of the key that OpenTofu encrypts the state with. Terraform does not use it."
  type        = string

  validation {
    condition     = can(regex("^projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+$", var.state_key))
    error_message = "state_key is the full id of a key (projects/…/locations/…/keyRings/…/cryptoKeys/…)."
  }
}
