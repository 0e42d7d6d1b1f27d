# Binary Authorization: clusters of the project run what the pipeline has attested. The private half of the key never
# leaves the hardware; cosign signs with it by its name (gcpkms://…), so the other clouds verify the same signature.

resource "google_kms_key_ring" "signing" {
  project  = var.project_id
  name     = "${var.name}-signing"
  location = var.location
}

resource "google_kms_crypto_key" "signing" {
  name                       = "images"
  key_ring                   = google_kms_key_ring.signing.id
  purpose                    = "ASYMMETRIC_SIGN"
  destroy_scheduled_duration = "2592000s" # 30 days
  labels                     = var.labels

  # Google rotates no signing key: a new version is made by hand and added to the attestor before it signs.
  version_template {
    algorithm        = "EC_SIGN_P256_SHA256"
    protection_level = "HSM"
  }

  lifecycle {
    prevent_destroy = true
  }
}

data "google_kms_crypto_key_version" "signing" {
  crypto_key = google_kms_crypto_key.signing.id
}

resource "google_kms_crypto_key_iam_member" "signer" {
  for_each = var.writers

  crypto_key_id = google_kms_crypto_key.signing.id
  role          = "roles/cloudkms.signerVerifier"
  member        = each.value
}

resource "google_container_analysis_note" "this" {
  project           = var.project_id
  name              = "${var.name}-attestor"
  short_description = "Built, scanned and signed by the pipeline."

  attestation_authority {
    hint {
      human_readable_name = "The pipeline of ${var.name}"
    }
  }
}

resource "google_binary_authorization_attestor" "this" {
  project     = var.project_id
  name        = "${var.name}-pipeline"
  description = "Images that the pipeline built, scanned and signed."

  attestation_authority_note {
    note_reference = google_container_analysis_note.this.name

    public_keys {
      id = "//cloudkms.googleapis.com/v1/${data.google_kms_crypto_key_version.signing.id}"

      pkix_public_key {
        public_key_pem      = data.google_kms_crypto_key_version.signing.public_key[0].pem
        signature_algorithm = "ECDSA_P256_SHA256"
      }
    }
  }
}

resource "google_project_iam_member" "attester" {
  for_each = var.writers

  project = var.project_id
  role    = "roles/containeranalysis.occurrences.editor"
  member  = each.value
}

resource "google_binary_authorization_policy" "this" {
  project     = var.project_id
  description = "Images that the pipeline attested, Google's own for the nodes, and the named mirrors."
  # Without it GKE's own system images would be refused.
  global_policy_evaluation_mode = "ENABLE"

  dynamic "admission_whitelist_patterns" {
    for_each = var.allowed_images

    content {
      name_pattern = admission_whitelist_patterns.value
    }
  }

  default_admission_rule {
    evaluation_mode         = "REQUIRE_ATTESTATION"
    enforcement_mode        = var.enforce ? "ENFORCED_BLOCK_AND_AUDIT_LOG" : "DRYRUN_AUDIT_LOG_ONLY"
    require_attestations_by = [google_binary_authorization_attestor.this.name]
  }
}
