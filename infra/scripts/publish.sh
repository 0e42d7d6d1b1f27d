#!/usr/bin/env bash
# Copies one image, by digest, from the registry that it was built into to the others, and signs it there. The digest is
# compared afterwards: what was scanned is what is signed, and what is signed is what runs.
#
#   publish.sh SOURCE sha256:DIGEST TAG TARGET...     SOURCE and TARGETs are repositories without tag
#
# Exit status: 0; 1 a registry holds something else; 2 usage; else the tool's own.
set -euo pipefail
# shellcheck source=infra/scripts/lib.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

(($# >= 3)) || die 2 "SOURCE DIGEST TAG TARGET... are needed"
source=$1 digest=$2 tag=$3
shift 3
is_digest "$digest" || die 2 "'$digest' is no digest: a tag can be moved, a digest cannot"
[[ $tag =~ ^[0-9a-f]{40}$ ]] || die 2 "'$tag' is no commit: the tag says which commit it was built from"

for target in "$@"; do
    docker buildx imagetools create --tag "$target:$tag" "$source@$digest"
    there=$(docker buildx imagetools inspect --format '{{.Manifest.Digest}}' "$target:$tag")
    [[ $there == "$digest" ]] || die 1 "$target:$tag is $there, not $digest"
done
for repository in "$source" "$@"; do
    cosign sign --yes "$repository@$digest"
done
