#!/usr/bin/env bash
# `make bench`: peers, builds, then the rig. See README.md; ROUNDS=, DURATION=, QUICK=1, THALWEG_BIN= tune it.
set -eu
cd "$(dirname "$0")"

./setup.sh || printf '!! bench: some of it could not be installed (see above); what is missing is reported as missing\n' >&2

if [ "${BENCH_BUILD:-1}" != 0 ]; then
    cargo build --release -p thalweg-bench --bins
    [ -n "${THALWEG_BIN:-}" ] || cargo build --release -p thalweg-edge
    # The trained build as well, if it is asked for; one that is there already is measured as it is.
    case "${BENCH_TRAINED:-0}" in 0 | '') ;; *) [ -n "${TRAINED_BIN:-}" ] || ../scripts/release.sh ;; esac
fi

python=.venv/bin/python
[ -x "$python" ] || python=$(command -v python3.11 || command -v python3)
exec "$python" -m rig "$@"
