# Messages and their thresholds, and the values that are refused.

mock_provider "aws" {
  source = "../../../mocks/aws"
}

variables {
  name        = "thalweg-test"
  monthly_usd = 100
  emails      = ["platform@example.com"]
}

run "four_messages_and_an_alarm" {
  assert {
    condition     = toset([for message in aws_budgets_budget.this.notification : message.threshold]) == toset([50, 80, 100, 101]) && aws_budgets_budget.this.limit_amount == "100"
    error_message = "The budget speaks before it is used up."
  }
  assert {
    condition     = aws_ce_anomaly_subscription.this.frequency == "IMMEDIATE" && aws_sns_topic.this.kms_master_key_id == module.key.id
    error_message = "An anomaly is told of at once, under the customer key."
  }
}

run "wrong_name_is_refused" {
  command = plan
  variables {
    name = "Budget"
  }
  expect_failures = [var.name]
}

run "nothing_is_refused" {
  command = plan
  variables {
    monthly_usd = 0
  }
  expect_failures = [var.monthly_usd]
}

run "no_reader_is_refused" {
  command = plan
  variables {
    emails = []
  }
  expect_failures = [var.emails]
}

run "an_anomaly_of_nothing_is_refused" {
  command = plan
  variables {
    anomaly_usd = 0
  }
  expect_failures = [var.anomaly_usd]
}
