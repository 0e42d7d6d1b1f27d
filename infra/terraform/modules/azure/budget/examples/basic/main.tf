# The budget of a development subscription.
provider "azurerm" {
  features {}
}

module "budget" {
  source          = "../.."
  name            = "thalweg-development"
  subscription_id = "00000000-0000-0000-0000-000000000000"
  monthly_amount  = 500
  emails          = ["platform@example.com"]
  since           = "2026-12"
}
