#!/usr/bin/env bash
# Formats the Rust and the Python of the repository in place.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

"$ROOT/scripts/setup.sh"
require_cargo
cd -- "$ROOT"
cargo fmt --all
.venv/bin/python -m isort --quiet --settings-path app app
.venv/bin/python -m black --quiet app
