#!/usr/bin/env bash
# A canary by the edges' own shares. A share is a commit: GitOps owns the config, and heals back what a script writes
# into a cluster. The canary is the release fastapi-app-canary in the canary cloud, beside the stable one.
#
#   canary.sh run           4, 25, 50 percent; after each the gate; then good. A failed gate, a lost connection or Ctrl-C
#                           ends in `stop`, so that the last good state is what runs
#   canary.sh set PERCENT   one step: PERCENT (0 to 100) of what the canary cloud's edges send to their own region
#   canary.sh stop          0 percent, also by hand: no request goes there while another region serves
#   canary.sh switch        blue-green: all at once, after one gate at 4 percent; `stop` is the way back
#
# Reads CANARY_PUSH (the command that publishes a commit: git push origin HEAD), CANARY_GATE (where the edges are, and more
# words for canary_gate.py: --context azure-southeastasia), DELIVERY_OVERRIDE (a reason to deliver in a freeze).
# Exit status: 0; 1 bad, taken back; 2 usage, a freeze, or a config that the edge refuses; 3 unproven, taken back; 4 bad and
# not taken back: it says what to do.
set -euo pipefail
# shellcheck source=infra/scripts/lib.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
HERE=$(dirname -- "${BASH_SOURCE[0]}")
FILE=infra/gitops/canary/azure/thalweg-edge.yaml
STABLE=azure-southeastasia

# A dial, not a weight alone: an idle canary answers faster than the version that works, so it may be the nearest by more
# than the route's band, and would then take everything. With the dial it takes its percent, and the next nearest the rest.
# The whole list of pools: a later values file replaces a list. Dial 0 leaves the pool in place, so that its metrics stay.
values() { # PERCENT
    cat <<YAML
# Written by infra/scripts/canary.sh: the share of the canary among this cloud's own. {} when there is none.
config:
  pool:
    canary:
      cloud: azure
      region: southeastasia
      probe: fastapi
      keepalive: { idle: 55s }
      endpoints: [{ address: "fastapi-app-canary.apps.svc.cluster.local:80" }]
  route:
    all:
      pools:
        - { pool: aws-us-east-1 }
        - { pool: gcp-europe-west1 }
        - { pool: $STABLE }
        - { pool: canary, weight: 100, dial: $1 }
YAML
}

publish() { # a command line, so that it may be more than one word
    read -ra line <<<"${CANARY_PUSH:-git push origin HEAD}"
    (cd "$ROOT" && "${line[@]}") >&2
}

set_share() { # PERCENT
    [[ $1 =~ ^[0-9]+$ && $1 -le 100 ]] || die 2 "a share is 0 to 100, not '$1'"
    local kept
    kept=$(cat "$ROOT/$FILE")
    values "$1" >"$ROOT/$FILE"
    if git -C "$ROOT" diff --quiet -- "$FILE"; then
        say "the share is $1 percent already"
        return
    fi
    "$HERE/check-config.sh" azure || {
        printf '%s\n' "$kept" >"$ROOT/$FILE"
        die 2 "the edge refuses this config; nothing was committed"
    }
    git -C "$ROOT" commit --quiet --message "deploy: canary at $1 percent" -- "$FILE" || die 4 "git takes no commit"
    publish || {
        # The commit is nobody's but ours: without it the next try starts from what runs.
        git -C "$ROOT" reset --quiet --hard HEAD~1
        die 4 "the share $1 could not be published; the clusters have what they had"
    }
    say "$1 percent is committed"
}

gate() { # PERCENT
    read -ra more <<<"${CANARY_GATE:---context ${CLUSTERS[azure]}}"
    python3 "$HERE/canary_gate.py" --canary canary --stable "$STABLE" --dial "$1" "${more[@]}"
}

stop() {
    trap - EXIT INT TERM
    (set_share 0) || die 4 "the canary may still have its share; by hand: infra/scripts/canary.sh stop"
}

# Runs the gate at each share; whatever ends it early takes the canary back.
steps() { # PERCENT...
    "$HERE/frozen.sh"
    local share code
    trap stop EXIT
    trap 'exit 3' INT TERM
    for share in "$@"; do
        set_share "$share"
        code=0
        gate "$share" || code=$?
        ((code == 0)) || exit "$code"
    done
    trap - EXIT INT TERM
    say "good: pin its image for fastapi-app (infra/gitops/pin-image.sh), then canary.sh stop once every wave has it"
}

case ${1:-} in
    run) steps 4 25 50 ;;
    switch)
        steps 4
        set_share 100
        ;;
    set)
        (($# == 2)) || die 2 "set needs a percentage"
        set_share "$2"
        ;;
    stop) stop ;;
    *) die 2 "run, set PERCENT, stop or switch (see the head of this file)" ;;
esac
