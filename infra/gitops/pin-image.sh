#!/usr/bin/env bash
# Writes what a release runs, for CI after a push: the digest that the registry answered with, and the tag for people to read. A commit of the
# file is the deploy: Argo CD and Flux read it, cloud after cloud.
#
#   pin-image.sh RELEASE REPOSITORY TAG sha256:DIGEST
#
# Reads STAGE (production): staging and development have files of their own, in infra/gitops/stages/STAGE/images.
# Exit status: 0 written, or already so; 2 usage. Nothing but that stage's images/RELEASE.yaml is touched.
set -euo pipefail
here=$(dirname -- "${BASH_SOURCE[0]}")

die() { echo "pin-image: $1" >&2; exit 2; }

(($# == 4)) || die "RELEASE REPOSITORY TAG DIGEST are needed (see the head of this file)"
release=$1 repository=$2 tag=$3 digest=$4
case ${STAGE:-production} in
    production) file=$here/images/$release.yaml ;;
    staging | development) file=$here/stages/$STAGE/images/$release.yaml ;;
    *) die "no stage $STAGE: production, staging or development" ;;
esac
[[ $release =~ ^[a-z0-9-]+$ && -e $file ]] || die "no release $release: $file is not there"
[[ $repository =~ ^[a-z0-9]+([._/:-][a-z0-9]+)*$ ]] || die "$repository is no repository"
[[ $tag =~ ^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$ && $tag != latest ]] || die "$tag is no tag that says which one"
[[ $digest =~ ^sha256:[0-9a-f]{64}$ ]] || die "$digest is no digest: a tag can be moved, a digest cannot"
{
    grep '^#' "$file" || true
    printf 'image:\n  repository: %s\n  tag: %s\n  digest: %s\n' "$repository" "\"$tag\"" "$digest"
} >"$file.new"
mv "$file.new" "$file"
echo "pin-image: $release runs $repository:$tag@$digest"
