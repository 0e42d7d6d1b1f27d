# Values of this account: terraform.tfvars.

variable "account" {
  description = "The account; another one is refused."
  type        = string
}

variable "monthly_usd" {
  description = "What the account is meant to cost in a month, in US dollars."
  type        = number
}

variable "cost_emails" {
  description = "Who is told of costs."
  type        = set(string)
}

variable "security_emails" {
  description = "Who is told of what should never happen."
  type        = set(string)
}
