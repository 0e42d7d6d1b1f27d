# Checks the messages and their thresholds, and the values that are refused.
mock_provider "azurerm" {}

variables {
  name            = "thalweg-test"
  subscription_id = "00000000-0000-0000-0000-000000000001"
  monthly_amount  = 100
  emails          = ["platform@example.com"]
  since           = "2026-12"
}

run "messages_come_before_the_money_is_spent" {
  assert {
    condition     = toset([for message in azurerm_consumption_budget_subscription.this.notification : "${message.threshold} ${message.threshold_type}"]) == toset(["50 Actual", "80 Actual", "100 Actual", "100 Forecasted"])
    error_message = "Messages come at 50, 80 and 100 percent, and when the forecast exceeds the budget."
  }
  assert {
    condition     = alltrue([for message in azurerm_consumption_budget_subscription.this.notification : message.operator == "GreaterThan" && contains(message.contact_emails, "platform@example.com")])
    error_message = "Each message has a recipient."
  }
  assert {
    condition     = azurerm_consumption_budget_subscription.this.time_grain == "Monthly" && azurerm_consumption_budget_subscription.this.amount == 100 && azurerm_consumption_budget_subscription.this.subscription_id == "/subscriptions/00000000-0000-0000-0000-000000000001"
    error_message = "The budget is monthly, and the subscription's own."
  }
}

run "wrong_name_is_refused" {
  command = plan
  variables {
    name = "Budget"
  }
  expect_failures = [var.name]
}

run "a_name_is_no_subscription" {
  command = plan
  variables {
    subscription_id = "production"
  }
  expect_failures = [var.subscription_id]
}

run "nothing_is_refused" {
  command = plan
  variables {
    monthly_amount = 0
  }
  expect_failures = [var.monthly_amount]
}

run "no_reader_is_refused" {
  command = plan
  variables {
    emails = []
  }
  expect_failures = [var.emails]
}

run "a_day_is_no_month" {
  command = plan
  variables {
    since = "2026-12-01"
  }
  expect_failures = [var.since]
}
