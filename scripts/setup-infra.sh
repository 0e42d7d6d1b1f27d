#!/usr/bin/env bash
# Installs what the checks of infra/ need: `.venv-infra` from infra/requirements.txt (PyPI, pinned with hashes), and
# Debian packages as root. Repeating it costs well under a second. It never starts a service.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

stamp=$({ echo "$ROOT"; cat "$ROOT/infra/requirements.txt"; } | sha256sum)
if [[ $(cat "$ROOT/.venv-infra/.stamp" 2>/dev/null) != "$stamp" ]]; then
    say "setup: .venv-infra from infra/requirements.txt"
    rm -rf "$ROOT/.venv-infra"
    python3 -m venv "$ROOT/.venv-infra"
    "$ROOT/.venv-infra/bin/python" -m pip install --quiet --require-hashes -r "$ROOT/infra/requirements.txt" >&2 ||
        die "the Python packages of infra/requirements.txt could not be installed"
    printf '%s\n' "$stamp" >"$ROOT/.venv-infra/.stamp"
fi
