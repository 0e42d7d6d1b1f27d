# Development's account. Put yours here; nothing in this file is secret.

account         = "111122223331"
monthly_usd     = 1500
cost_emails     = ["platform@example.com"]
security_emails = ["security@example.com"]
