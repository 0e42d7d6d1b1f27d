# What one region's web ACL refuses.

variable "name" {
  description = "Name of the parts, or its start."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,40}$", var.name))
    error_message = "The name has 3 to 41 small letters, digits and '-', and begins with a letter."
  }
}


variable "mode" {
  description = "`block`: refuse what the rules match. `count`: only count it; begin with that for a week and read the log."
  type        = string
  default     = "block"

  validation {
    condition     = contains(["block", "count"], var.mode)
    error_message = "mode is 'block' or 'count'."
  }
}

variable "requests_per_minute" {
  description = "Most requests of one client address within a minute."
  type        = number
  default     = 2000

  validation {
    condition     = var.requests_per_minute >= 10 && var.requests_per_minute <= 2000000
    error_message = "AWS WAF limits to 10 to 2 000 000 requests."
  }
}
