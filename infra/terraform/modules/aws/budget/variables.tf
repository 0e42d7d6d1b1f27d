# Inputs: the account's budget and the recipients of messages.

variable "name" {
  description = "Name of the parts, or its start."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,40}$", var.name))
    error_message = "The name has 3 to 41 small letters, digits and '-', and begins with a letter."
  }
}


variable "monthly_usd" {
  description = "What the account is meant to cost in a month, in US dollars."
  type        = number

  validation {
    condition     = var.monthly_usd > 0
    error_message = "A budget is more than nothing."
  }
}

variable "emails" {
  description = "Recipients of the messages."
  type        = set(string)

  validation {
    condition     = length(var.emails) > 0 && length(var.emails) <= 10 && alltrue([for email in var.emails : can(regex("^[^@ ]+@[^@ ]+\\.[^@ ]+$", email))])
    error_message = "Name one to ten e-mail addresses."
  }
}

variable "anomaly_usd" {
  description = "From which amount beyond the usual an anomaly is told of."
  type        = number
  default     = 50

  validation {
    condition     = var.anomaly_usd >= 1
    error_message = "An anomaly is told of from one dollar on."
  }
}
