# What differs between one environment's account and another's.

variable "environment" {
  description = "The environment whose account this is."
  type        = string

  validation {
    condition     = contains(["development", "staging", "production"], var.environment)
    error_message = "The environment is 'development', 'staging' or 'production'."
  }
}

variable "regions" {
  description = "Regions of the environment, the home region first or among them."
  type        = set(string)
}

variable "monthly_usd" {
  description = "What the account is meant to cost in a month, in US dollars."
  type        = number
}

variable "cost_emails" {
  description = "Recipients of cost messages."
  type        = set(string)
}

variable "security_emails" {
  description = "Recipients of security alarms."
  type        = set(string)
}

variable "permissions_boundary" {
  description = "Policy that bounds every role made here, from `bootstrap/aws`: without it the role that applies may make none."
  type        = string

  validation {
    condition     = can(regex("^arn:[a-z-]+:iam::[0-9]{12}:policy/", var.permissions_boundary))
    error_message = "The boundary is the ARN of a policy, such as 'arn:aws:iam::111122223333:policy/thalweg-boundary'."
  }
}
