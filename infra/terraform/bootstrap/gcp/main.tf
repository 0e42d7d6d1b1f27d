# What stands before any environment: a bucket for each environment's state, identities for the pipeline without any
# key that could leak, the audit log, and the services that the environments use.
#
# A person with an account in the organisation runs it once with local state, then moves that state into the bucket
# (`terraform init -migrate-state`, backend gcs, prefix bootstrap). The identities live in a project of their own, so
# the rights over accounts that terraform-provisioner has in an environment do not reach its own account.

data "google_project" "environment" {
  for_each   = var.environments
  project_id = each.value.project_id
}

locals {
  services = toset([
    "artifactregistry.googleapis.com", "binaryauthorization.googleapis.com", "cloudkms.googleapis.com",
    "cloudresourcemanager.googleapis.com", "compute.googleapis.com", "container.googleapis.com",
    "containeranalysis.googleapis.com", "containerscanning.googleapis.com", "containersecurity.googleapis.com",
    "dns.googleapis.com",
    "gkebackup.googleapis.com", "iam.googleapis.com", "iamcredentials.googleapis.com", "iap.googleapis.com",
    "logging.googleapis.com", "memorystore.googleapis.com", "monitoring.googleapis.com",
    "networkconnectivity.googleapis.com", "pubsub.googleapis.com", "secretmanager.googleapis.com",
    "servicedirectory.googleapis.com", "serviceusage.googleapis.com", "sqladmin.googleapis.com",
    "storage.googleapis.com",
  ])

  # Google makes these agents only when the service is first used, which is too late: a customer key has to name them.
  agents = toset([
    "artifactregistry.googleapis.com", "gkebackup.googleapis.com", "memorystore.googleapis.com",
    "pubsub.googleapis.com", "secretmanager.googleapis.com", "sqladmin.googleapis.com",
  ])

  per_environment = {
    for pair in setproduct(keys(var.environments), local.services) : "${pair[0]}/${pair[1]}" => {
      environment = pair[0]
      project_id  = var.environments[pair[0]].project_id
      service     = pair[1]
    }
  }
}

resource "google_project_service" "bootstrap" {
  for_each = toset([
    "cloudkms.googleapis.com", "cloudresourcemanager.googleapis.com", "iam.googleapis.com",
    "iamcredentials.googleapis.com", "logging.googleapis.com", "orgpolicy.googleapis.com",
    "serviceusage.googleapis.com", "storage.googleapis.com", "sts.googleapis.com",
  ])

  project            = var.project_id
  service            = each.key
  disable_on_destroy = false
}

resource "google_project_service" "environment" {
  for_each = local.per_environment

  project            = each.value.project_id
  service            = each.value.service
  disable_on_destroy = false
}

resource "google_project_service_identity" "agent" {
  for_each = { for key, of in local.per_environment : key => of if contains(local.agents, of.service) }
  provider = google-beta

  project = each.value.project_id
  service = each.value.service

  depends_on = [google_project_service.environment]
}

# Storage has its agent from the start; reading it makes sure.
data "google_storage_project_service_account" "environment" {
  for_each   = var.environments
  project    = each.value.project_id
  depends_on = [google_project_service.environment]
}
