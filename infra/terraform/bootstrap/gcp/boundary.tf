# What the identities may do, and the border around terraform-provisioner. Google Cloud has no permissions boundary like
# AWS's. Three things together make one: roles in one project only, a condition on which roles may be handed on, and a
# deny policy that no role overrides.

locals {
  reader_roles = toset([
    "roles/artifactregistry.reader", "roles/binaryauthorization.attestorsViewer", "roles/binaryauthorization.policyViewer",
    "roles/browser", "roles/cloudkms.viewer", "roles/cloudsql.viewer", "roles/compute.viewer",
    "roles/container.clusterViewer", "roles/containeranalysis.notes.viewer", "roles/dns.reader",
    "roles/gkebackup.viewer", "roles/iam.securityReviewer", "roles/logging.viewer", "roles/memorystore.viewer",
    "roles/monitoring.viewer", "roles/pubsub.viewer", "roles/secretmanager.viewer",
    "roles/servicedirectory.viewer", "roles/serviceusage.serviceUsageViewer", "roles/storage.bucketViewer",
  ])

  provisioner_roles = toset([
    "roles/artifactregistry.admin", "roles/binaryauthorization.attestorsAdmin", "roles/binaryauthorization.policyEditor",
    "roles/browser", "roles/cloudkms.admin", "roles/cloudsql.admin", "roles/compute.instanceAdmin.v1",
    "roles/compute.networkAdmin", "roles/compute.securityAdmin", "roles/container.clusterAdmin",
    "roles/containeranalysis.notes.editor", "roles/dns.admin", "roles/gkebackup.admin",
    "roles/iam.serviceAccountAdmin", "roles/iam.serviceAccountUser", "roles/logging.configWriter",
    "roles/memorystore.admin", "roles/monitoring.editor", "roles/pubsub.admin", "roles/secretmanager.admin",
    "roles/servicedirectory.editor", "roles/serviceusage.serviceUsageConsumer", "roles/storage.admin",
  ])

  # Roles that the modules grant in a project. None of them grants roles.
  assignable_roles = [
    "roles/cloudsql.client", "roles/cloudsql.instanceUser", "roles/container.defaultNodeServiceAccount",
    "roles/containeranalysis.occurrences.editor",
    "roles/logging.logWriter", "roles/memorystore.dbConnectionUser", "roles/monitoring.metricWriter",
    "roles/monitoring.viewer",
  ]

  roles = { plan = local.reader_roles, apply = local.provisioner_roles, release = toset([]) }

  grants = merge([for key, of in local.stages : {
    for role in local.roles[of.stage] : "${key}/${role}" => {
      stage = key, project_id = of.project_id, role = role
    }
  }]...)

  applies = { for key, of in local.stages : of.environment => merge(of, { key = key }) if of.stage == "apply" }
}

resource "google_project_iam_member" "pipeline" {
  for_each = local.grants

  project = each.value.project_id
  role    = each.value.role
  member  = google_service_account.pipeline[each.value.stage].member
}

resource "google_project_iam_member" "boundary" {
  for_each = local.applies

  project = each.value.project_id
  role    = "roles/resourcemanager.projectIamAdmin"
  member  = google_service_account.pipeline[each.value.key].member

  condition {
    title       = "only the modules' roles"
    description = "Grants and takes away the roles that infra/terraform grants, and no other."
    expression  = "api.getAttribute('iam.googleapis.com/modifiedGrantsByRole', []).hasOnly([${join(", ", [for role in local.assignable_roles : "'${role}'"])}])"
  }
}

resource "google_iam_deny_policy" "provisioner" {
  for_each = local.applies

  parent       = urlencode("cloudresourcemanager.googleapis.com/projects/${each.value.project_id}")
  name         = "terraform-provisioner"
  display_name = "What terraform-provisioner never does"

  rules {
    description = "Read a secret, act with another account's token, make a key that outlives a run, destroy a key, hide a trace, or leave the project."

    deny_rule {
      denied_principals = ["principal://iam.googleapis.com/projects/-/serviceAccounts/${google_service_account.pipeline[each.value.key].email}"]
      denied_permissions = [
        "cloudkms.googleapis.com/cryptoKeyVersions.destroy",
        "cloudresourcemanager.googleapis.com/projects.delete",
        "iam.googleapis.com/roles.create",
        "iam.googleapis.com/roles.update",
        "iam.googleapis.com/serviceAccountKeys.create",
        "iam.googleapis.com/serviceAccountKeys.upload",
        "iam.googleapis.com/serviceAccounts.getAccessToken",
        "iam.googleapis.com/serviceAccounts.getOpenIdToken",
        "iam.googleapis.com/serviceAccounts.implicitDelegation",
        "iam.googleapis.com/serviceAccounts.signBlob",
        "iam.googleapis.com/serviceAccounts.signJwt",
        "iam.googleapis.com/workloadIdentityPools.create",
        "logging.googleapis.com/buckets.delete",
        "logging.googleapis.com/sinks.delete",
        "logging.googleapis.com/sinks.update",
        "secretmanager.googleapis.com/versions.access",
      ]
    }
  }
}

# What no account may do, whatever its roles. "No long-lived key" is the first two lines.
resource "google_org_policy_policy" "this" {
  for_each = var.organization_policies ? {
    for pair in setproduct(concat([var.project_id], values(var.environments)[*].project_id), [
      "iam.disableServiceAccountKeyCreation", "iam.disableServiceAccountKeyUpload",
      "iam.automaticIamGrantsForDefaultServiceAccounts", "compute.skipDefaultNetworkCreation",
      "compute.requireOsLogin", "sql.restrictPublicIp", "storage.publicAccessPrevention",
      "storage.uniformBucketLevelAccess",
    ]) : "${pair[0]}/${pair[1]}" => { project_id = pair[0], constraint = pair[1] }
  } : {}

  name   = "projects/${each.value.project_id}/policies/${each.value.constraint}"
  parent = "projects/${each.value.project_id}"

  spec {
    rules {
      enforce = "TRUE"
    }
  }

  depends_on = [google_project_service.bootstrap]
}
