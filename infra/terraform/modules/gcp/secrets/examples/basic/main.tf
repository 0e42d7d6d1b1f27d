# The secrets of one region: a database URL that is written here once, and a token that is written outside of Terraform.

provider "google" {
  project = "example-project"
  region  = "europe-west1"
}

variable "database_url" {
  description = "Given on the command line or by the pipeline; never kept."
  type        = string
  default     = null
  ephemeral   = true
  sensitive   = true
}

module "secrets" {
  source = "../.."

  project_id     = "example-project"
  project_number = 123456789012
  name           = "production-europe-west1"
  region         = "europe-west1"
  kms_key        = "projects/example-project/locations/europe-west1/keyRings/production/cryptoKeys/secrets"
  labels         = { environment = "production", owner = "platform" }
  values         = { database-url = var.database_url }

  secrets = {
    database-url = { readers = { app = "serviceAccount:fastapi-app@example-project.iam.gserviceaccount.com" }, value_version = 1 }
    admin-token  = { readers = { edge = "serviceAccount:thalweg-edge@example-project.iam.gserviceaccount.com" }, rotation_days = 30 }
  }
}

output "due_topic" {
  description = "Topic that tells which secret is due."
  value       = module.secrets.due_topic
}
