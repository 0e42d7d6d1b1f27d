#!/usr/bin/env bash
# Refuses an image that this repository's own workflow on the stage's branch did not sign, or whose bill of materials is missing.
# Google's clusters ask once more, at admission: infra/terraform/modules/gcp/artifact-registry/attestation.tf.
#
#   verify-image.sh REPOSITORY@sha256:DIGEST
#
# Reads GITHUB_REPOSITORY (owner/name), STAGE (production: what main has). Exit status: 0; 1 not signed by us; 2 usage.
set -euo pipefail
# shellcheck source=infra/scripts/lib.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

(($# == 1)) || die 2 "REPOSITORY@DIGEST is needed"
need GITHUB_REPOSITORY
case ${STAGE:-production} in
    production) branch=main ;;
    staging) branch=stage ;;
    development) branch=develop ;;
    *) die 2 "no stage $STAGE" ;;
esac
is_digest "${1##*@}" || die 2 "'$1' has no digest: a signature is of a digest"
who=(
    --certificate-identity "https://github.com/$GITHUB_REPOSITORY/.github/workflows/build.yml@refs/heads/$branch"
    --certificate-oidc-issuer https://token.actions.githubusercontent.com
)
cosign verify "${who[@]}" "$1" >/dev/null || die 1 "$1 is not signed by $GITHUB_REPOSITORY's build on $branch"
cosign verify-attestation --type spdxjson "${who[@]}" "$1" >/dev/null || die 1 "$1 has no attested bill of materials"
