#!/usr/bin/env bash
# Asks each cloud's own entry for /health, in its own context: 200 from every one, or this fails and names those that
# did not answer. A balancer publishes a host name (AWS) or an address (Google Cloud, Azure); either will do.
#
#   smoke.sh NAMESPACE SERVICE azure|aws|gcp...
#
# Reads SMOKE_HOST (api.example.com): the name in the request and in the certificate. SMOKE_TRIES (30), SMOKE_GAP (2 s).
# Exit status: 0 all answer; 1 at least one does not; 2 usage.
set -euo pipefail
# shellcheck source=infra/scripts/lib.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

(($# >= 3)) || die 2 "NAMESPACE SERVICE CLOUD... are needed"
namespace=$1 service=$2
shift 2
for cloud in "$@"; do one_of cloud "$cloud" "${CLOUDS[@]}"; done
host=${SMOKE_HOST:-api.example.com} tries=${SMOKE_TRIES:-30} gap=${SMOKE_GAP:-2}

entry() { # CONTEXT
    kubectl --context "$1" --namespace "$namespace" get service "$service" \
        -o 'jsonpath={.status.loadBalancer.ingress[0].hostname}{.status.loadBalancer.ingress[0].ip}'
}

# Prints what went wrong, if anything did.
asked() { # CONTEXT
    local context=$1 try where code=000
    where=$(entry "$context") || { echo "its Service cannot be read"; return; }
    [[ -n $where ]] || { echo "its balancer has no address yet"; return; }
    [[ $where != *:* ]] || where="[$where]"
    for ((try = 0; try < tries; try++)); do
        code=$(curl --silent --output /dev/null --max-time 5 --write-out '%{http_code}' \
            --connect-to "$host:443:$where:443" "https://$host/health") || true
        [[ $code != 200 ]] || return 0
        sleep "$gap"
    done
    echo "$where answers $code"
}

failed=0
for cloud in "$@"; do
    problem=$(asked "${CLUSTERS[$cloud]}")
    if [[ -z $problem ]]; then
        say "${CLUSTERS[$cloud]}: /health is 200"
    else
        say "${CLUSTERS[$cloud]}: $problem"
        failed=1
    fi
done
exit "$failed"
