#!/usr/bin/env bash
# Takes a release back to what ran before, in every cloud that is named: the previous revision, not the first one ever,
# each in its own context. One cloud that cannot be reached does not keep the others on the bad release.
#
#   rollback.sh RELEASE NAMESPACE CLOUD[=REVISION]...   clusters without GitOps: helm rollback; CLOUD is azure, aws or gcp
#   rollback.sh --commit SHA                            clusters with GitOps: reverts the commit that deployed; the waves
#                                                       bring it, canary first. Helm would be healed back.
#
# Exit status: 0 every cloud is back and ready; 1 a commit that cannot be reverted; 2 usage; 4 some are back and some are
# not: it names them, with the line to type.
set -euo pipefail
# shellcheck source=infra/scripts/lib.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

revert() { # SHA
    [[ $1 =~ ^[0-9a-f]{7,40}$ ]] || die 2 "'$1' is no commit"
    local files
    files=$(git -C "$ROOT" show --format= --name-only "$1" --) || die 2 "$1 is not in this repository"
    # A revert of code is a review's business; here only what CI wrote is taken back.
    if grep -qvE '^infra/gitops/(images|canary)/' <<<"$files"; then
        die 2 "$1 changes more than what runs; revert it by a pull request"
    fi
    git -C "$ROOT" revert --no-edit "$1" >&2 || {
        git -C "$ROOT" revert --abort
        die 1 "$1 was changed again since: pin the image that is wanted with infra/gitops/pin-image.sh"
    }
    git -C "$ROOT" rev-parse HEAD
}

if [[ ${1:-} == --commit ]]; then
    (($# == 2)) || die 2 "--commit needs the SHA"
    revert "$2"
    exit
fi
(($# >= 3)) || die 2 "RELEASE NAMESPACE CLOUD... are needed (see the head of this file)"
release=$1 namespace=$2
shift 2
for each in "$@"; do
    one_of cloud "${each%%=*}" "${CLOUDS[@]}"
    [[ $each =~ ^[a-z]+(=[1-9][0-9]*)?$ ]] || die 2 "'$each' is CLOUD or CLOUD=REVISION"
done

left=()
for each in "$@"; do
    context=${CLUSTERS[${each%%=*}]} revision=0 # the one before
    [[ $each != *=* ]] || revision=${each#*=}
    # --wait: back is ready, not merely asked for.
    line=(helm rollback "$release" "$revision" --kube-context "$context" --namespace "$namespace" --wait --timeout 5m)
    if "${line[@]}" >&2; then
        say "$context: back"
    else
        left+=("${line[*]}")
    fi
done
((${#left[@]} == 0)) || {
    say "not every cloud is back. When it can be reached, by hand:"
    printf '  %s\n' "${left[@]}" >&2
    exit 4
}
