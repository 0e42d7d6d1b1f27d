#!/usr/bin/env bash
# The fleet's proof (`make fleet`): BIRD, BFD and routers in network namespaces, bundles, orders, words and announcements on
# a real NATS server, then the figures of three edges. What this machine lacks is skipped loudly.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

cd -- "$ROOT"
require_cargo
cargo build --locked -p thalweg-edge
cargo test --locked -p thalweg-tests --no-fail-fast \
    --test anycast --test fleet --test fleet_orders --test fleet_neighbours --test fleet_announce
exec cargo test --locked -p thalweg-tests --test fleet_proof -- --include-ignored --nocapture
