# What depends on whose projects these are; terraform.tfvars has examples.

variable "project_id" {
  description = "Project of the environment."
  type        = string
}

variable "project_number" {
  description = "Number of the project: output project_numbers of bootstrap/gcp."
  type        = number
}

variable "pipeline" {
  description = "Account that pushes and attests images, as an IAM member: output accounts of bootstrap/gcp, stage release."
  type        = string
}

variable "other_edges" {
  description = "Egress addresses of the edges in the other clouds and regions, each as /32: their environments' outputs. The first apply may leave it empty."
  type        = set(string)
  default     = []
}

variable "mirrors" {
  description = "Name patterns of images that the cluster runs without an attestation: the mirror of the controllers' images."
  type        = set(string)
  default     = []
}

variable "budget" {
  description = "The project's billing account, planned costs of a month, and recipients of messages; see modules/gcp/budget."
  type = object({
    billing_account = string
    monthly_amount  = number
    currency        = optional(string, "USD")
    emails          = set(string)
  })
}
