# The messages and their thresholds, whose costs are counted, and the values that are refused.

mock_provider "google" {
  override_during = plan
}

variables {
  project_id      = "example-project"
  project_number  = 123456789012
  billing_account = "012345-6789AB-CDEF01"
  name            = "production"
  monthly_amount  = 6000
  emails          = ["platform@example.com"]
  labels          = { environment = "production", owner = "platform" }
}

run "messages_come_before_the_money_is_spent" {
  command = plan

  assert {
    condition     = toset([for rule in google_billing_budget.this.threshold_rules : "${rule.threshold_percent} ${rule.spend_basis}"]) == toset(["0.5 CURRENT_SPEND", "0.8 CURRENT_SPEND", "1 CURRENT_SPEND", "1 FORECASTED_SPEND"])
    error_message = "Messages come at 50, 80 and 100 percent, and when the forecast exceeds the budget."
  }

  assert {
    condition     = google_billing_budget.this.amount[0].specified_amount[0].units == "6000" && google_billing_budget.this.amount[0].specified_amount[0].currency_code == "USD" && google_billing_budget.this.budget_filter[0].calendar_period == "MONTH"
    error_message = "The budget is monthly and of the planned amount."
  }

  assert {
    condition     = google_billing_budget.this.budget_filter[0].projects == toset(["projects/123456789012"])
    error_message = "Other costs are counted than the project's own."
  }

  assert {
    condition     = google_billing_budget.this.budget_filter[0].credit_types_treatment == "EXCLUDE_ALL_CREDITS"
    error_message = "Credits that end would hide what is spent."
  }
}

run "messages_have_recipients" {
  command = plan

  assert {
    condition     = google_monitoring_notification_channel.this["platform@example.com"].labels.email_address == "platform@example.com" && length(google_billing_budget.this.all_updates_rule[0].monitoring_notification_channels) == 1 && google_billing_budget.this.all_updates_rule[0].disable_default_iam_recipients == false
    error_message = "Each message has a recipient, and the account's administrators read it, too."
  }
}

run "rejects_project_id" {
  command = plan
  variables {
    project_id = "x"
  }
  expect_failures = [var.project_id]
}

run "rejects_project_number" {
  command = plan
  variables {
    project_number = 0
  }
  expect_failures = [var.project_number]
}

run "rejects_billing_account" {
  command = plan
  variables {
    billing_account = "example"
  }
  expect_failures = [var.billing_account]
}

run "rejects_name" {
  command = plan
  variables {
    name = "Budget"
  }
  expect_failures = [var.name]
}

run "rejects_nothing_planned" {
  command = plan
  variables {
    monthly_amount = 0
  }
  expect_failures = [var.monthly_amount]
}

run "rejects_currency" {
  command = plan
  variables {
    currency = "dollars"
  }
  expect_failures = [var.currency]
}

run "rejects_no_reader" {
  command = plan
  variables {
    emails = []
  }
  expect_failures = [var.emails]
}

run "rejects_labels_without_owner" {
  command = plan
  variables {
    labels = { environment = "production" }
  }
  expect_failures = [var.labels]
}
