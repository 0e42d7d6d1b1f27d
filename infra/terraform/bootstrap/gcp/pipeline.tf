# Who the pipeline is in each environment: `plan` reads, `apply` is terraform-provisioner, `release` pushes and attests
# images and has no right here: modules/gcp/artifact-registry gives it those. Google exchanges GitHub's token only if it
# names this repository and the right GitHub environment, so that environment's approvals guard the identity. Plans and
# releases have environments of their own, such as production-plan.

resource "google_iam_workload_identity_pool" "github" {
  project                   = var.project_id
  workload_identity_pool_id = "github"
  display_name              = "GitHub Actions"
  description               = "Identities of the pipeline, without keys."
  depends_on                = [google_project_service.bootstrap]
}

resource "google_iam_workload_identity_pool_provider" "github" {
  project                            = var.project_id
  workload_identity_pool_id          = google_iam_workload_identity_pool.github.workload_identity_pool_id
  workload_identity_pool_provider_id = "github"
  display_name                       = "GitHub Actions"
  description                        = "Tokens of ${var.repository.name} that name an environment."

  # grant joins repository and environment, so that one binding asks for both at once. A job without an environment
  # has no such claim and gets nothing.
  attribute_mapping = {
    "google.subject"       = "assertion.sub"
    "attribute.repository" = "assertion.repository"
    "attribute.actor"      = "assertion.actor"
    "attribute.grant"      = "assertion.repository_id + ':' + assertion.environment"
  }
  attribute_condition = join(" && ", [
    "assertion.repository == '${var.repository.name}'",
    "assertion.repository_id == '${var.repository.id}'",
    "has(assertion.environment)",
  ])

  oidc {
    issuer_uri = "https://token.actions.githubusercontent.com"
  }
}

locals {
  # An account's name has at most 30 characters: terraform-provisioner-production does not fit.
  short = { development = "dev", staging = "stage", production = "prod" }

  purposes = {
    plan    = "Reads the environment; changes nothing."
    apply   = "Makes what infra/terraform describes."
    release = "Pushes and attests images."
  }

  stages = merge([for environment, of in var.environments : {
    for stage in ["plan", "apply", "release"] : "${environment}-${stage}" => {
      environment = environment
      stage       = stage
      project_id  = of.project_id
      # The same GitHub environments as in the other clouds: the job that pushes images pushes to all of them.
      github = { plan = "${environment}-plan", apply = environment, release = "${environment}-publish" }[stage]
      title  = { plan = "terraform-plan", apply = "terraform-provisioner", release = "image-release" }[stage]
    }
  }]...)
}

resource "google_service_account" "pipeline" {
  for_each = local.stages

  project      = var.project_id
  account_id   = "${each.value.title}-${local.short[each.value.environment]}"
  display_name = "${each.value.title} of ${each.value.environment}"
  description  = local.purposes[each.value.stage]
  depends_on   = [google_project_service.bootstrap]
}

resource "google_service_account_iam_member" "github" {
  for_each = local.stages

  service_account_id = google_service_account.pipeline[each.key].name
  role               = "roles/iam.workloadIdentityUser"
  member             = "principalSet://iam.googleapis.com/${google_iam_workload_identity_pool.github.name}/attribute.grant/${var.repository.id}:${each.value.github}"
}

# A plan takes no lock (`-lock=false`), so it reads its own environment's state and writes none.
resource "google_storage_bucket_iam_member" "state" {
  for_each = { for key, of in local.stages : key => of if of.stage != "release" }

  bucket = google_storage_bucket.state[each.value.environment].name
  role   = each.value.stage == "plan" ? "roles/storage.objectViewer" : "roles/storage.objectUser"
  member = google_service_account.pipeline[each.key].member
}
