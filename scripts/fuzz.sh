#!/usr/bin/env bash
# Runs every fuzz target from its seeds, one minute each; failing inputs are in fuzz/artifacts.
#   scripts/fuzz.sh                    all targets, 60 s each
#   scripts/fuzz.sh config_text 600    one target, as long as you like
# Needs the nightly toolchain and cargo-fuzz (`rustup toolchain install nightly`, `cargo install cargo-fuzz`): libFuzzer's
# instrumentation is no part of the stable compiler. `make test` runs the seeds without either.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

require_cargo
cd -- "$ROOT"
seconds=${2:-60}
if (($#)); then
    targets=("$1")
else
    mapfile -t targets < <(find fuzz/seeds -mindepth 1 -maxdepth 1 -type d -printf '%f\n' | sort)
fi
for target in "${targets[@]}"; do
    say "fuzz: $target, $seconds s"
    # New inputs go into the first folder, which git ignores; the seeds are only read.
    mkdir -p "fuzz/corpus/$target"
    cargo +nightly fuzz run "$target" "fuzz/corpus/$target" "fuzz/seeds/$target" -- \
        -max_total_time="$seconds" -max_len=16384 -verbosity=0
done
