# State of what this environment has once: in the bucket of bootstrap/aws. `use_lockfile` is the lock.
terraform {
  backend "s3" {
    bucket       = "thalweg-staging-state-111122223332"
    key          = "global.tfstate"
    region       = "us-east-1"
    encrypt      = true
    use_lockfile = true
  }
}
