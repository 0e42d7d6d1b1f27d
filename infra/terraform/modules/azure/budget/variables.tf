# Inputs: the subscription's budget and the recipients of messages.
variable "name" {
  description = "Start of the budget's name."
  type        = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,40}$", var.name))
    error_message = "The name has 3 to 41 small letters, digits and '-', and begins with a letter."
  }
}

variable "subscription_id" {
  description = "Subscription whose costs are watched: the environment's own, so that nothing else is counted."
  type        = string
  validation {
    condition     = can(regex("^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", var.subscription_id))
    error_message = "subscription_id has 8-4-4-4-12 hexadecimal digits, as `az account show --query id` prints it."
  }
}

variable "monthly_amount" {
  description = "Planned costs of one month, in the currency of the subscription's bill."
  type        = number
  validation {
    condition     = var.monthly_amount > 0
    error_message = "monthly_amount must be above 0."
  }
}

variable "emails" {
  description = "Recipients of the messages, beside the subscription's owners."
  type        = list(string)
  validation {
    condition     = length(var.emails) > 0 && length(var.emails) <= 10 && alltrue([for email in var.emails : can(regex("^[^@ ]+@[^@ ]+\\.[^@ ]+$", email))])
    error_message = "emails must hold one to ten e-mail addresses."
  }
}

variable "since" {
  description = "First month that is counted, YYYY-MM. Azure takes no month before the current one for a new budget."
  type        = string
  validation {
    condition     = can(regex("^20[0-9]{2}-(0[1-9]|1[0-2])$", var.since))
    error_message = "since must be a month, YYYY-MM, such as 2026-12."
  }
}
