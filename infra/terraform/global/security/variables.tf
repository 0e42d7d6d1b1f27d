# Inputs of the rules that bind every principal in every cloud.
variable "name" {
  description = "Prefix of what is made, for example thalweg-production."
  type        = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,40}$", var.name))
    error_message = "name must be 3 to 41 lower-case letters, digits or hyphens and begin with a letter."
  }
}

variable "aws" {
  description = "Organizational unit (or account) that the service control policy is for, and the regions that may be used. Null without an organization."
  type        = object({ target_id = string, regions = set(string) })
  default     = null
  validation {
    condition     = var.aws == null ? true : can(regex("^(ou-[0-9a-z-]+|[0-9]{12})$", var.aws.target_id))
    error_message = "aws.target_id must be an organizational unit (ou-...) or an account of twelve digits; never the root, whose management account no such policy binds."
  }
  validation {
    condition     = var.aws == null ? true : contains(var.aws.regions, "us-east-1")
    error_message = "aws.regions must hold us-east-1: services without a region answer there."
  }
}

variable "google" {
  description = "Project that the organization policies are for, and the locations that may be used (value groups such as in:europe-west1-locations). Null if unused."
  type        = object({ project = string, locations = set(string) })
  default     = null
  validation {
    condition     = var.google == null ? true : length(var.google.locations) > 0 && alltrue([for location in var.google.locations : startswith(location, "in:")])
    error_message = "google.locations must hold value groups such as in:europe-west1-locations."
  }
}

variable "azure" {
  description = "Subscription that policies and Defender are for, the locations that may be used, and the contact for alerts, by mail and by phone. Null if unused."
  type        = object({ subscription_id = string, locations = set(string), contact = string, phone = string })
  default     = null
  validation {
    condition     = var.azure == null ? true : can(regex("^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", var.azure.subscription_id))
    error_message = "azure.subscription_id must be a UUID in lower case."
  }
  validation {
    condition     = var.azure == null ? true : length(var.azure.locations) > 0 && can(regex("^[^@ ]+@[^@ ]+$", var.azure.contact)) && can(regex("^\\+[0-9]{6,15}$", var.azure.phone))
    error_message = "azure needs at least one of locations, a contact that is an e-mail address, and a phone such as +6560000000."
  }
}
