# The keys, for the modules that store something.

output "keys" {
  description = "Ids of the keys by name. They can be used as soon as they are known."
  value       = { for name, key in google_kms_crypto_key.this : name => key.id }

  # A service whose agent may not use its key yet fails at creation, minutes later.
  depends_on = [google_kms_crypto_key_iam_member.agent]
}
