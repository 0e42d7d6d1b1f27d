# shellcheck shell=bash
# What the scripts of delivery share: how to end, which clouds there are, where their clusters are. Sourced, never run.
# It changes nothing.

# shellcheck disable=SC2034 # read by the scripts that source this one
ROOT=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd)
# Canary first, then the others one at a time: the order of the waves.
# shellcheck disable=SC2034 # read by the scripts that source this one
CLOUDS=(azure aws gcp)
# shellcheck disable=SC2034 # read by the scripts that source this one
declare -A CLUSTERS=([azure]=azure-southeastasia [aws]=aws-us-east-1 [gcp]=gcp-europe-west1)

say() { printf '%s: %s\n' "$(basename -- "$0" .sh)" "$*" >&2; }

# die CODE MESSAGE
die() {
    local code=$1
    shift
    say "$*"
    exit "$code"
}

# need NAME...: variables that the caller must set; an empty one is as good as none.
need() {
    local name
    for name in "$@"; do
        [[ -n ${!name:-} ]] || die 2 "$name is not set"
    done
}

# one_of WHAT VALUE ALLOWED...
one_of() {
    local what=$1 value=$2 allowed
    shift 2
    for allowed in "$@"; do [[ $value == "$allowed" ]] && return; done
    die 2 "$what is one of: $*; not '$value'"
}

is_digest() { [[ $1 =~ ^sha256:[0-9a-f]{64}$ ]]; }
