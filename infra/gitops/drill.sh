#!/usr/bin/env bash
# A region goes away on purpose, the others carry on, it comes back. Always restores, also on Ctrl-C.
#
#   drill.sh health --context CTX --witness URL    its pods answer 503 on /health (the application's own switch):
#                                                  nothing that GitOps watches changes, so nothing is healed back
#   drill.sh scale  --context CTX --witness URL    its pods are gone (replicas = 0); refused where self-heal would undo it:
#       --application NAME [--hub CTX]             the Argo CD application that must ignore /spec/replicas, and where it is
#
#   --witness URL       asked once a second through the edge; every answer but 2xx or 3xx is an error
#   --for SECONDS       length of the outage (120)       --errors N        errors that are tolerated (0)
#   --namespace NS      (apps)                           --name RELEASE    (fastapi-app)
#   --dry-run           prints what it would change
# Exit status: 0 no more errors than tolerated; 1 more; 2 usage; 3 refused, nothing was changed.
set -euo pipefail

mode=${1:-} context='' witness='' application='' hub='' seconds=120 errors_max=0 namespace=apps name=fastapi-app dry=0
switch=/tmp/unhealthy # drill.healthFailFile of the chart

die() { echo "drill: $2" >&2; exit "$1"; }

arguments() {
    [[ $mode == health || $mode == scale ]] || die 2 "say health or scale (see the head of this file)"
    shift
    while (($#)); do
        if [[ $1 == --dry-run ]]; then dry=1; shift; continue; fi
        (($# > 1)) || die 2 "$1 needs a value"
        case $1 in
            --context) context=$2 ;;
            --witness) witness=$2 ;;
            --application) application=$2 ;;
            --hub) hub=$2 ;;
            --for) seconds=$2 ;;
            --errors) errors_max=$2 ;;
            --namespace) namespace=$2 ;;
            --name) name=$2 ;;
            *) die 2 "$1 is unknown" ;;
        esac
        shift 2
    done
    [[ -n $context && -n $witness ]] || die 2 "--context and --witness are needed"
    [[ $mode == health || -n $application ]] || die 2 "scale needs --application"
    [[ $seconds =~ ^[0-9]+$ && $errors_max =~ ^[0-9]+$ ]] || die 2 "--for and --errors are whole numbers"
}

kube() { kubectl --context "$context" --namespace "$namespace" "$@"; }
change() { if ((dry)); then echo "would run: kubectl --context $context --namespace $namespace $*"; else kube "$@"; fi; }

pods() { kube get pods --field-selector status.phase=Running -o name \
    --selector "app.kubernetes.io/instance=$name,app.kubernetes.io/component=serving"; }

in_every_pod() { # python source, over the name of the switch
    local pod list
    list=$(pods)
    [[ -n $list ]] || die 3 "no running pod of $name in $context"
    for pod in $list; do change exec "$pod" --container app -- python -c "import pathlib; pathlib.Path('$switch').$1"; done
}

refuse_if_healed() {
    local ignored
    ignored=$(kubectl --context "${hub:-$context}" --namespace argocd get application "$application" \
        -o 'jsonpath={.spec.ignoreDifferences[?(@.kind=="Deployment")].jsonPointers}')
    [[ $ignored == *'/spec/replicas'* ]] ||
        die 3 "$application would scale $name back at once: it does not ignore /spec/replicas; use 'drill.sh health'"
}

restore() {
    trap - EXIT
    echo "drill: $context comes back"
    if [[ $mode == scale ]]; then
        change scale "deployment/$name" --replicas "$replicas"
    else
        in_every_pod "unlink(missing_ok=True)"
    fi
}

watch_witness() {
    local second bad=0
    ((dry)) && { echo "would ask $witness for $seconds s"; return; }
    for ((second = 0; second < seconds; second++)); do
        curl --fail --silent --show-error --max-time 5 --output /dev/null "$witness" || bad=$((bad + 1))
        sleep 1
    done
    echo "drill: $bad of $seconds requests failed while $context was away"
    ((bad <= errors_max))
}

arguments "$@"
if [[ $mode == scale ]]; then
    refuse_if_healed
    replicas=$(kube get "deployment/$name" -o 'jsonpath={.spec.replicas}')
    ((replicas > 0)) || die 3 "$name has no replicas in $context already"
fi
trap 'exit 130' INT TERM
trap restore EXIT
echo "drill: $context goes away for $seconds s ($mode)"
if [[ $mode == scale ]]; then
    # Zero also stops the autoscaler, until there are pods again.
    change scale "deployment/$name" --replicas 0
else
    in_every_pod "touch()"
fi
watch_witness
