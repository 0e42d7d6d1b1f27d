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
  description = "Recipients of cost messages."
  type        = set(string)
}

variable "security_emails" {
  description = "Recipients of security alarms."
  type        = set(string)
}
