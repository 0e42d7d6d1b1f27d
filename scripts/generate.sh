#!/usr/bin/env bash
# Writes again every file that is made from another one: after a change of the schema, a chart's
# values, a rule, a dashboard or a row of coverage.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
cd -- "$ROOT"

"$ROOT/scripts/setup.sh"
"$ROOT/scripts/setup-infra.sh" fast
require_cargo
cargo build --quiet --locked -p thalweg-edge
THALWEG_BIN="$(target_dir)/debug/thalweg"
export THALWEG_BIN

THALWEG_BLESS=1 cargo test --quiet --locked -p thalweg-config --test pages
for script in infra/helm/generate.py infra/terraform/readme.py infra/monitoring/{operator,dashboards}/build.py infra/coverage/build.py; do
    .venv-infra/bin/python "$script"
done
