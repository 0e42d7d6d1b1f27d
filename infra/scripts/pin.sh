#!/usr/bin/env bash
# Makes what a commit built what runs: verifies each image's signature, writes its digest where GitOps reads it, and commits.
# The commit is the deploy; pushing it is the caller's.
#
#   pin.sh REGISTRY SHA RELEASE...     images are REGISTRY/RELEASE:SHA
#
# Reads STAGE (production): for staging and development the images that the build on that stage's branch signed, into that stage's files.
# Exit status: 0, also when nothing changed; 1 an image that is not there or not signed by us: nothing is written; 2 usage.
set -euo pipefail
# shellcheck source=infra/scripts/lib.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
HERE=$(dirname -- "${BASH_SOURCE[0]}")

(($# >= 3)) || die 2 "REGISTRY SHA RELEASE... are needed"
export STAGE=${STAGE:-production}
one_of stage "$STAGE" development staging production
images=infra/gitops/images
[[ $STAGE == production ]] || images=infra/gitops/stages/$STAGE/images
registry=$1 sha=$2
shift 2
[[ $sha =~ ^[0-9a-f]{40}$ ]] || die 2 "'$sha' is no commit"

# All are verified before one is written: half a deploy is none.
declare -A digests=()
for release in "$@"; do
    digest=$(docker buildx imagetools inspect --format '{{.Manifest.Digest}}' "$registry/$release:$sha") ||
        die 1 "$registry/$release:$sha is not there"
    is_digest "$digest" || die 1 "$registry/$release:$sha has no digest: '$digest'"
    "$HERE/verify-image.sh" "$registry/$release@$digest" || exit 1
    digests[$release]=$digest
done
for release in "$@"; do
    "$ROOT/infra/gitops/pin-image.sh" "$release" "$registry/$release" "$sha" "${digests[$release]}"
done
git -C "$ROOT" add "$images"
git -C "$ROOT" diff --cached --quiet || git -C "$ROOT" commit --quiet --message "deploy: ${sha:0:12}" -- "$images"
