# No provider: this module writes text, and whoever rents the machines hands it to them.
terraform {
  required_version = ">= 1.11"
}
