# This module needs no provider: it writes text, and the operator passes the text to the machines.
terraform {
  required_version = ">= 1.11"
}
