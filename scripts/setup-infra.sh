#!/usr/bin/env bash
# Installs what the checks of infra/ need: `.venv-infra` from infra/requirements.txt (PyPI, pinned with hashes), and
# Debian packages as root. Repeating it costs well under a second. It never starts a service.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

# Prints the Debian packages that are missing. What needs one of them is skipped, loudly, where it cannot be had.
missing() {
    command -v promtool >/dev/null || echo prometheus
    command -v amtool >/dev/null || echo prometheus-alertmanager
}

packages() {
    local wanted
    mapfile -t wanted < <(missing)
    ((${#wanted[@]})) || return 0
    if ((EUID == 0)) && command -v apt-get >/dev/null; then
        say "setup: apt-get install -y --no-install-recommends ${wanted[*]}"
        apt_install "${wanted[@]}" || say "setup: apt-get did not succeed"
    else
        say "setup: missing, and only root can install it:" "    apt-get install -y --no-install-recommends ${wanted[*]}"
    fi
}

virtual_environment() {
    local stamp
    stamp=$({ echo "$ROOT"; cat "$ROOT/infra/requirements.txt"; } | sha256sum)
    if [[ $(cat "$ROOT/.venv-infra/.stamp" 2>/dev/null) == "$stamp" ]]; then
        return
    fi
    say "setup: .venv-infra from infra/requirements.txt"
    rm -rf "$ROOT/.venv-infra"
    python3 -m venv "$ROOT/.venv-infra"
    "$ROOT/.venv-infra/bin/python" -m pip install --quiet --require-hashes -r "$ROOT/infra/requirements.txt" >&2 ||
        die "the Python packages of infra/requirements.txt could not be installed"
    printf '%s\n' "$stamp" >"$ROOT/.venv-infra/.stamp"
}

exec 9<"$ROOT"
flock 9
packages
virtual_environment
