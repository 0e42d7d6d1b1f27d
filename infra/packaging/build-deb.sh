#!/usr/bin/env bash
# Builds the Debian package and prints its path. It needs cargo-deb (`cargo install cargo-deb --locked`).
#   infra/packaging/build-deb.sh                 builds the edge (trained: scripts/release.sh), then the package (target/debian/)
#   THALWEG_BIN=FILE infra/packaging/build-deb.sh   packs this binary, which was built before
# Manual page and completions come from the binary itself, so they cannot disagree with it. Line
# tables are left out; the names of functions stay for backtraces.
set -euo pipefail
ROOT=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd)
cd -- "$ROOT"
target=${CARGO_TARGET_DIR:-$ROOT/target}
release=$target/release
mkdir -p "$release/package"

THALWEG_BIN=${THALWEG_BIN:-$(scripts/release.sh)}
strip --strip-debug -o "$release/package/thalweg" "$THALWEG_BIN"
mv "$release/package/thalweg" "$release/thalweg"
"$release/thalweg" man >"$release/package/thalweg.1"
for shell in bash zsh fish; do
    "$release/thalweg" completions "$shell" >"$release/package/completions.$shell"
done
CARGO_TARGET_DIR=$target cargo deb --package thalweg-edge --no-build --locked "$@"
