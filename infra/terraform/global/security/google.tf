# Google Cloud: organization policies of the project.
locals {
  enforced = var.google == null ? [] : [
    "compute.requireOsLogin",
    "compute.requireShieldedVm",
    "compute.skipDefaultNetworkCreation",
    "iam.automaticIamGrantsForDefaultServiceAccounts",
    "iam.disableServiceAccountKeyCreation",
    "iam.disableServiceAccountKeyUpload",
    "sql.restrictPublicIp",
    "storage.publicAccessPrevention",
    "storage.uniformBucketLevelAccess",
  ]
}

resource "google_org_policy_policy" "enforced" {
  for_each = toset(local.enforced)

  name   = "projects/${var.google.project}/policies/${each.key}"
  parent = "projects/${var.google.project}"

  spec {
    rules {
      enforce = "TRUE"
    }
  }
}

resource "google_org_policy_policy" "locations" {
  count = var.google == null ? 0 : 1

  name   = "projects/${var.google.project}/policies/gcp.resourceLocations"
  parent = "projects/${var.google.project}"

  spec {
    rules {
      values {
        allowed_values = sort(var.google.locations)
      }
    }
  }
}

# Machines get no public addresses: edges have balancers, nodes have NAT.
resource "google_org_policy_policy" "addresses" {
  count = var.google == null ? 0 : 1

  name   = "projects/${var.google.project}/policies/compute.vmExternalIpAccess"
  parent = "projects/${var.google.project}"

  spec {
    rules {
      deny_all = "TRUE"
    }
  }
}
