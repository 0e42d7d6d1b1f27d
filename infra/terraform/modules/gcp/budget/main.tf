# A monthly budget of one project, with messages at 50, 80 and 100 percent and when the forecast exceeds it. It only sends
# messages: it stops no resource and no bill.
#
# Who applies it needs billing.budgets.create at the billing account (role roles/billing.costsManager there), and a provider
# with `user_project_override = true`: the API counts calls against a project, and a billing account is none.

locals {
  messages = {
    half     = [0.5, "CURRENT_SPEND"]
    most     = [0.8, "CURRENT_SPEND"]
    spent    = [1.0, "CURRENT_SPEND"]
    forecast = [1.0, "FORECASTED_SPEND"]
  }
}

resource "google_monitoring_notification_channel" "this" {
  for_each = var.emails

  project      = var.project_id
  display_name = "Costs: ${each.value}"
  description  = "Recipient of the budget's messages."
  type         = "email"
  labels       = { email_address = each.value }
  user_labels  = var.labels
}

resource "google_billing_budget" "this" {
  billing_account = var.billing_account
  display_name    = "${var.name}-costs"

  budget_filter {
    projects               = ["projects/${var.project_number}"]
    calendar_period        = "MONTH"
    credit_types_treatment = "EXCLUDE_ALL_CREDITS"
  }

  amount {
    specified_amount {
      currency_code = var.currency
      units         = tostring(var.monthly_amount)
    }
  }

  dynamic "threshold_rules" {
    for_each = local.messages

    content {
      threshold_percent = threshold_rules.value[0]
      spend_basis       = threshold_rules.value[1]
    }
  }

  all_updates_rule {
    monitoring_notification_channels = [for channel in google_monitoring_notification_channel.this : channel.id]
    disable_default_iam_recipients   = false
  }
}
