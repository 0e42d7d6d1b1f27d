#!/usr/bin/env bash
# Waits until Argo CD has brought a commit to one cloud and its hooks have passed: the chart's own gate is one of them.
#
#   await-wave.sh azure|aws|gcp COMMIT RELEASE...
#
# Reads HUB (context of the hub: hub), WAVE_SECONDS (2700). Changes nothing.
# Exit status: 0 synced and healthy; 1 failed, or not within the time: it says which and why; 2 usage.
set -euo pipefail
# shellcheck source=infra/scripts/lib.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

(($# >= 3)) || die 2 "CLOUD COMMIT RELEASE... are needed"
cloud=$1 commit=$2
shift 2
one_of cloud "$cloud" "${CLOUDS[@]}"
[[ $commit =~ ^[0-9a-f]{40}$ ]] || die 2 "'$commit' is no commit"
end=$((SECONDS + ${WAVE_SECONDS:-2700}))

# revision, sync, health, phase and message of the last operation, on one line
state() { # APPLICATION
    kubectl --context "${HUB:-hub}" --namespace argocd get application "$1" -o \
        'jsonpath={.status.sync.revision} {.status.sync.status} {.status.health.status} {.status.operationState.phase} {.status.operationState.message}'
}

for release in "$@"; do
    application=$release-$cloud
    while true; do
        read -r revision sync health phase message <<<"$(state "$application" || true)" || true
        if [[ $revision == "$commit" && $sync == Synced && $health == Healthy && $phase == Succeeded ]]; then
            say "$application: $commit is in force"
            break
        fi
        [[ $revision != "$commit" || $phase != Failed ]] || die 1 "$application failed: $message"
        ((SECONDS < end)) || die 1 "$application is not there: revision '${revision:-unknown}', ${sync:-unknown}, ${health:-unknown}, ${phase:-unknown}"
        sleep "${WAVE_GAP:-10}"
    done
done
