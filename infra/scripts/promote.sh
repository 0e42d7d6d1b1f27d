#!/usr/bin/env bash
# Clusters without GitOps: the version that the canary ran becomes the release, three replicas in each cloud, and the
# canary goes. A cloud that does not become ready stops it there: the canary of that cloud stays, and every cloud that
# was promoted is rolled back.
#
#   promote.sh aws|gcp|azure...
#
# Reads IMAGE_NAME (repository), IMAGE_DIGEST, CI_COMMIT_SHA.
# Exit status: 0; 1 rolled back; 2 usage; 4 rolled back in part (rollback.sh says where not).
set -euo pipefail
# shellcheck source=infra/scripts/lib.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

(($#)) || die 2 "name at least one of: ${CLOUDS[*]}"
for cloud in "$@"; do one_of cloud "$cloud" "${CLOUDS[@]}"; done
need IMAGE_NAME IMAGE_DIGEST CI_COMMIT_SHA
is_digest "$IMAGE_DIGEST" || die 2 "IMAGE_DIGEST '$IMAGE_DIGEST' is no digest"
chart=$ROOT/infra/helm/fastapi-app

# What runs now, asked before anything changes: an upgrade that fails may or may not have made a revision of its own.
declare -A before=()
for cloud in "$@"; do
    before[$cloud]=$(helm get metadata fastapi-app --kube-context "${CLUSTERS[$cloud]}" --namespace apps --output json |
        python3 -c 'import json, sys; print(int(json.load(sys.stdin)["revision"]))') ||
        die 2 "${CLUSTERS[$cloud]} does not say what it runs; nothing was changed"
done

promote() { # CLOUD
    helm upgrade fastapi-app "$chart" --kube-context "${CLUSTERS[$1]}" --namespace apps --reset-then-reuse-values \
        --set autoscaling.minReplicas=3 --set "image.repository=$IMAGE_NAME" --set "image.digest=$IMAGE_DIGEST" \
        --set-string "image.tag=$CI_COMMIT_SHA" --wait --timeout 10m >&2
}

done_in=()
for cloud in "$@"; do
    done_in+=("$cloud=${before[$cloud]}")
    promote "$cloud" || {
        say "${CLUSTERS[$cloud]} did not become ready with $IMAGE_DIGEST"
        "$(dirname -- "$0")/rollback.sh" fastapi-app apps "${done_in[@]}" || exit
        exit 1
    }
done
for cloud in "$@"; do
    helm uninstall fastapi-app-canary --kube-context "${CLUSTERS[$cloud]}" --namespace apps --ignore-not-found --wait >&2 ||
        say "${CLUSTERS[$cloud]}: the canary could not be removed; it takes no share any more"
done
