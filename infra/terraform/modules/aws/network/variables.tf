# What one region's network is made of.

variable "name" {
  description = "Name of the network and start of its parts' names."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,40}$", var.name))
    error_message = "A network's name has 3 to 41 small letters, digits and '-', and begins with a letter."
  }
}

variable "cidr" {
  description = "Addresses of the network, a private /16 of `addresses.json`."
  type        = string

  validation {
    condition     = can(cidrhost(var.cidr, 0)) && endswith(var.cidr, "/16") && startswith(var.cidr, "10.")
    error_message = "The network is a /16 of 10.0.0.0/8, for example 10.10.0.0/16: see infra/terraform/addresses.json."
  }
}

variable "zones" {
  description = "Three availability zones."
  type        = list(string)

  validation {
    condition     = length(distinct(var.zones)) == 3 && length(var.zones) == 3
    error_message = "Name three different availability zones: what survives a zone needs two others."
  }
}

variable "nat" {
  description = "`per-zone`: a NAT gateway in each zone, so that a zone's loss leaves the others their way out. `single`: one, cheaper, for development."
  type        = string
  default     = "per-zone"

  validation {
    condition     = contains(["per-zone", "single"], var.nat)
    error_message = "nat is 'per-zone' or 'single'."
  }
}

variable "interface_endpoints" {
  description = "AWS services that are reached inside the network instead of through NAT; each costs per zone and hour."
  type        = set(string)
  default     = ["ec2", "ecr.api", "ecr.dkr", "eks", "eks-auth", "elasticloadbalancing", "kms", "logs", "secretsmanager", "sts"]
}

variable "flow_log_days" {
  description = "How long flow logs are kept."
  type        = number
  default     = 365

  validation {
    condition     = contains([30, 60, 90, 120, 150, 180, 365, 400, 545, 731], var.flow_log_days)
    error_message = "CloudWatch keeps logs for 30, 60, 90, 120, 150, 180, 365, 400, 545 or 731 days, and fewer are too few to look into an incident."
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
