#!/usr/bin/env bash
# Refuses an image that this repository's own workflow on main did not sign, or whose provenance is missing. The same
# identity is asked for at admission: infra/policy/admission.
#
#   verify-image.sh REPOSITORY@sha256:DIGEST
#
# Reads GITHUB_REPOSITORY (owner/name). Exit status: 0; 1 not signed by us; 2 usage.
set -euo pipefail
# shellcheck source=infra/scripts/lib.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

(($# == 1)) || die 2 "REPOSITORY@DIGEST is needed"
need GITHUB_REPOSITORY
is_digest "${1##*@}" || die 2 "'$1' has no digest: a signature is of a digest"
who=(
    --certificate-identity "https://github.com/$GITHUB_REPOSITORY/.github/workflows/build.yml@refs/heads/main"
    --certificate-oidc-issuer https://token.actions.githubusercontent.com
)
cosign verify "${who[@]}" "$1" >/dev/null || die 1 "$1 is not signed by $GITHUB_REPOSITORY's build on main"
cosign verify-attestation --type spdxjson "${who[@]}" "$1" >/dev/null || die 1 "$1 has no attested bill of materials"
