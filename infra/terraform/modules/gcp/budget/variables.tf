# The project whose costs are watched, the plan, and the recipients of messages.

variable "project_id" {
  description = "Project of the environment: it keeps the recipients."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id is 6 to 30 lower-case letters, digits and hyphens, begins with a letter and does not end with a hyphen."
  }
}

variable "project_number" {
  description = "Number of the same project: its costs are counted, and no other's."
  type        = number

  validation {
    condition     = var.project_number > 0 && floor(var.project_number) == var.project_number
    error_message = "project_number is a whole number above 0, as `gcloud projects describe` prints it."
  }
}

variable "billing_account" {
  description = "Billing account of the project."
  type        = string

  validation {
    condition     = can(regex("^[0-9A-F]{6}(-[0-9A-F]{6}){2}$", var.billing_account))
    error_message = "billing_account has 6-6-6 hexadecimal digits, as `gcloud billing accounts list` prints it."
  }
}

variable "name" {
  description = "Start of the budget's name."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,40}$", var.name))
    error_message = "name has 3 to 41 lower-case letters, digits and hyphens, and begins with a letter."
  }
}

variable "monthly_amount" {
  description = "Planned costs of one month, whole units of `currency`."
  type        = number

  validation {
    condition     = var.monthly_amount > 0 && floor(var.monthly_amount) == var.monthly_amount
    error_message = "monthly_amount is a whole number above 0."
  }
}

variable "currency" {
  description = "Currency of the billing account; Google refuses another."
  type        = string
  default     = "USD"

  validation {
    condition     = can(regex("^[A-Z]{3}$", var.currency))
    error_message = "currency has three capital letters (ISO 4217), such as USD."
  }
}

variable "emails" {
  description = "Recipients of the messages, beside the billing account's administrators."
  type        = set(string)

  validation {
    condition     = length(var.emails) > 0 && length(var.emails) <= 5 && alltrue([for email in var.emails : can(regex("^[^@ ]+@[^@ ]+\\.[^@ ]+$", email))])
    error_message = "emails holds one to five e-mail addresses: a budget takes five channels."
  }
}

variable "labels" {
  description = "Labels of everything that can carry some; environment and owner are required."
  type        = map(string)

  validation {
    condition     = alltrue([for key in ["environment", "owner"] : contains(keys(var.labels), key)])
    error_message = "labels has at least the keys environment and owner."
  }
}
