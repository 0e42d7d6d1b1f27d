# What the pipeline and the charts are given.

output "url" {
  description = "Prefix of the images' names: URL/fastapi-app:COMMIT."
  value       = "${var.location}-docker.pkg.dev/${var.project_id}/${google_artifact_registry_repository.this.repository_id}"
}

output "attestor" {
  description = "Attestor, for `gcloud container binauthz attestations sign-and-create`."
  value       = google_binary_authorization_attestor.this.name
}

output "signing_key" {
  description = "Key version that signs, for the same command and, behind gcpkms://, for cosign."
  value       = data.google_kms_crypto_key_version.signing.id
}
