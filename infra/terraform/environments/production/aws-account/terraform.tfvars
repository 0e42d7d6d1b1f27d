# Production's account. Put yours here; nothing in this file is secret.

account         = "111122223333"
monthly_usd     = 8000
cost_emails     = ["platform@example.com"]
security_emails = ["security@example.com"]
