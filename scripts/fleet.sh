#!/usr/bin/env bash
# The fleet's proof (`make fleet`) with the shipped build: three NATS servers, three edges with BIRD, three regions, two
# routers and clients in network namespaces; everything that can be lost is lost once. Then a thousand edges on one
# server, and the scenarios of the fleet and of anycast. The reports go to standard output and to target/fleet*.md.
#   THALWEG_BIN   an edge that is already built: skips the build
# What this machine lacks is skipped loudly.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

cd -- "$ROOT"
require_cargo
if [[ -z ${THALWEG_BIN:-} ]]; then
    cargo build --locked --release -p thalweg-edge
    THALWEG_BIN="$(target_dir)/release/thalweg"
fi
export THALWEG_BIN
cargo test --locked -p thalweg-tests --test fleet_proof -- --ignored --nocapture
cargo test --locked -p thalweg-tests --test fleet_thousand -- --ignored --nocapture
exec cargo test --locked -p thalweg-tests --no-fail-fast \
    --test anycast --test fleet --test fleet_orders --test fleet_neighbours --test fleet_announce --test fleet_leaf
