# Application and edge of one cluster.

provider "google" {
  project = "example-project"
  region  = "europe-west1"
}

module "iam" {
  source = "../.."

  project_id    = "example-project"
  workload_pool = "example-project.svc.id.goog"

  workloads = {
    fastapi-app  = { namespace = "apps", account = "fastapi-app", roles = ["roles/cloudsql.instanceUser", "roles/memorystore.dbConnectionUser"] }
    thalweg-edge = { namespace = "edges", account = "thalweg-edge" }
  }
}

output "emails" {
  description = "For the charts."
  value       = module.iam.emails
}
