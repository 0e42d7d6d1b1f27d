# Examples: your own projects, accounts and addresses go here. None of them is a secret.
project_id     = "example-development"
project_number = 100000000001
pipeline       = "serviceAccount:image-release-dev@example-bootstrap.iam.gserviceaccount.com"
other_edges    = ["192.0.2.101/32", "198.51.100.101/32"]
mirrors        = ["europe-docker.pkg.dev/example-development/mirror/**"]
budget         = { billing_account = "012345-6789AB-CDEF01", monthly_amount = 500, emails = ["platform@example.com"] }
