# Examples: your own projects, accounts and addresses go here. None of them is a secret.
project_id     = "example-staging"
project_number = 100000000002
pipeline       = "serviceAccount:image-release-stage@example-bootstrap.iam.gserviceaccount.com"
other_edges    = ["192.0.2.111/32", "198.51.100.111/32"]
mirrors        = ["europe-docker.pkg.dev/example-staging/mirror/**"]
budget         = { billing_account = "012345-6789AB-CDEF01", monthly_amount = 1500, emails = ["platform@example.com"] }
