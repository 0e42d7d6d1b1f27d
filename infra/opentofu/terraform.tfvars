# Examples: your own project and people go here. None of them is a secret.
project_id     = "example-development"
project_number = 100000000001
operators      = ["group:oncall@example.com"]
state_key      = "projects/example-bootstrap/locations/europe-west1/keyRings/thalweg-bootstrap/cryptoKeys/development"
