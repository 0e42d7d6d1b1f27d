# A monthly budget of one subscription, with messages at 50, 80 and 100 percent and when the forecast exceeds it. It only
# sends messages: it stops no resource and no bill.

locals {
  messages = { half = [50, "Actual"], most = [80, "Actual"], spent = [100, "Actual"], forecast = [100, "Forecasted"] }
}

resource "azurerm_consumption_budget_subscription" "this" {
  name            = "${var.name}-costs"
  subscription_id = "/subscriptions/${var.subscription_id}"
  amount          = var.monthly_amount
  time_grain      = "Monthly"

  time_period {
    start_date = "${var.since}-01T00:00:00Z"
  }

  dynamic "notification" {
    for_each = local.messages
    content {
      threshold      = notification.value[0]
      threshold_type = notification.value[1]
      operator       = "GreaterThan"
      contact_emails = var.emails
      contact_roles  = ["Owner"]
    }
  }
}
