#!/usr/bin/env bash
# The whole chaos matrix against the shipped build, about 55 minutes; a line per cell, JSON under target/chaos.
#   scripts/chaos.sh                  all cells (`make chaos`)
#   scripts/chaos.sh freeze slow      cells with one of these words in their name
#   scripts/chaos.sh kill --times 20  each of them so often
# Cells that need network namespaces (root, iproute2, nftables) are skipped loudly without them.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

cd -- "$ROOT"
require_cargo
if [[ -z ${THALWEG_BIN:-} ]]; then
    cargo build --locked --release -p thalweg-edge
    THALWEG_BIN=${CARGO_TARGET_DIR:-$ROOT/target}/release/thalweg
    export THALWEG_BIN
fi
cargo build --locked --release -p thalweg-tests --bins
exec "${CARGO_TARGET_DIR:-$ROOT/target}/release/chaos" run "$@"
