#!/usr/bin/env bash
# The same faults against thalweg, nginx, HAProxy and Envoy, about 25 minutes; writes docs/failover.md and its drawings.
#   scripts/chaos-compare.sh          all faults (`make chaos-compare`)
#   scripts/chaos-compare.sh freeze   faults with one of these words in their name; the others keep their last runs
# Installs the peers through bench/setup.sh, which starts no service.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

cd -- "$ROOT"
require_cargo
bench/setup.sh >&2 || say "thalweg: a peer could not be installed; it will be reported as missing"
if [[ -z ${THALWEG_BIN:-} ]]; then
    cargo build --locked --release -p thalweg-edge
    THALWEG_BIN=${CARGO_TARGET_DIR:-$ROOT/target}/release/thalweg
    export THALWEG_BIN
fi
cargo build --locked --release -p thalweg-tests --bins
exec "${CARGO_TARGET_DIR:-$ROOT/target}/release/chaos" compare "$@"
