# Staging's account. Put yours here; nothing in this file is secret.

account         = "111122223332"
monthly_usd     = 3000
cost_emails     = ["platform@example.com"]
security_emails = ["security@example.com"]
