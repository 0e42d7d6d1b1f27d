# Examples: your own projects, accounts and addresses go here. None of them is a secret.
project_id     = "example-production"
project_number = 100000000003
pipeline       = "serviceAccount:image-release-prod@example-bootstrap.iam.gserviceaccount.com"
other_edges    = ["192.0.2.1/32", "192.0.2.2/32", "198.51.100.1/32", "203.0.113.1/32"]
mirrors        = ["europe-docker.pkg.dev/example-production/mirror/**"]
budget         = { billing_account = "012345-6789AB-CDEF01", monthly_amount = 6000, emails = ["platform@example.com"] }
