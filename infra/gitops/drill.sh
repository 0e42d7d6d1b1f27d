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
# Exit status: 0 no more errors than tolerated; 1 more; 2 usage; 3 refused or not begun, nothing is left changed;
# 4 not all could be restored: it says what is left to do by hand.
set -euo pipefail

mode=${1:-} context='' witness='' application='' hub='' seconds=120 errors_max=0 namespace=apps name=fastapi-app dry=0 left=''
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

in_pod() { # pod, python source over the name of the switch
    change exec "$1" --container app -- python -c "import pathlib; pathlib.Path('$switch').$2"
}

make_sick() {
    local pod list
    list=$(pods) || die 3 "the pods of $name in $context cannot be listed"
    [[ -n $list ]] || die 3 "no running pod of $name in $context"
    for pod in $list; do in_pod "$pod" "touch()" || die 3 "$pod cannot be reached: the drill is off"; done
}

# Every pod that can be reached; a second try for the others that still run. What is left goes to `left`.
make_well() {
    local pod list try wanted='' missed
    left="the pods of $name"
    for try in 1 2; do
        if ((try == 2)); then sleep 2; fi
        list=$(pods) || continue
        missed=''
        for pod in $list; do
            if [[ -n $wanted && " $wanted" != *" $pod "* ]]; then continue; fi
            in_pod "$pod" "unlink(missing_ok=True)" || missed+="$pod "
        done
        left=$missed
        [[ -n $missed ]] || return 0
        wanted=$missed
    done
    return 1
}

refuse_if_healed() {
    local ignored
    ignored=$(kubectl --context "${hub:-$context}" --namespace argocd get application "$application" \
        -o 'jsonpath={.spec.ignoreDifferences[?(@.kind=="Deployment")].jsonPointers}')
    [[ $ignored == *'/spec/replicas'* ]] ||
        die 3 "$application would scale $name back at once: it does not ignore /spec/replicas; use 'drill.sh health'"
}

restore() {
    local pod
    trap - EXIT
    echo "drill: $context comes back"
    if [[ $mode == scale ]]; then
        change scale "deployment/$name" --replicas "$replicas" && return
        sleep 2
        change scale "deployment/$name" --replicas "$replicas" && return
        die 4 "still at zero; by hand: kubectl --context $context --namespace $namespace scale deployment/$name --replicas $replicas"
    fi
    make_well && return
    echo "drill: still unhealthy: $left; by hand, for each:" >&2
    for pod in $left; do
        [[ $pod == pod/* ]] || continue
        echo "  kubectl --context $context --namespace $namespace exec $pod --container app -- rm -f $switch" >&2
    done
    exit 4
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
    make_sick
fi
watch_witness
