# Who pods are towards Google Cloud: one account for each workload, taken by exactly one Kubernetes account through
# workload identity. No key exists that could leak. The chart's serviceAccount.annotations name the account.
#
# All clusters of a project share one pool, so the same namespace and name in two of them are the same identity.

resource "google_service_account" "this" {
  for_each = var.workloads

  project      = var.project_id
  account_id   = each.key
  display_name = each.key
  description  = "Pods of ${each.value.namespace}/${each.value.account}."
}

resource "google_service_account_iam_member" "pod" {
  for_each = var.workloads

  service_account_id = google_service_account.this[each.key].name
  role               = "roles/iam.workloadIdentityUser"
  member             = "serviceAccount:${var.workload_pool}[${each.value.namespace}/${each.value.account}]"
}

locals {
  grants = merge([for name, workload in var.workloads : {
    for role in workload.roles : "${name} ${role}" => { workload = name, role = role }
  }]...)
}

resource "google_project_iam_member" "this" {
  for_each = local.grants

  project = var.project_id
  role    = each.value.role
  member  = google_service_account.this[each.value.workload].member
}
