#!/usr/bin/env bash
# Installs what the checks of infra/ need: `.venv-infra` from infra/requirements.txt (PyPI, pinned with hashes), and
# Debian packages as root. Repeating it costs well under a second. It never starts a service.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

# Prints the Debian packages that are missing. A check whose package cannot be installed is SKIPPED with a message.
missing() {
    command -v promtool >/dev/null || echo prometheus
    command -v amtool >/dev/null || echo prometheus-alertmanager
    command -v prometheus-blackbox-exporter >/dev/null || echo prometheus-blackbox-exporter
    command -v openssl >/dev/null || echo openssl
    command -v systemd-analyze >/dev/null || echo systemd
    command -v dpkg-deb >/dev/null || echo dpkg
    command -v strip >/dev/null || echo binutils
    command -v man >/dev/null || echo man-db
    command -v jq >/dev/null || echo jq
    command -v gpg >/dev/null || echo gpg
    command -v setpriv >/dev/null || echo util-linux
    command -v bird >/dev/null || echo bird2
    [[ -e /usr/lib/x86_64-linux-gnu/libseccomp.so.2 || -e /usr/lib/aarch64-linux-gnu/libseccomp.so.2 ]] || echo libseccomp2
    [[ ${WHAT:-all} == fast ]] && return
    command -v buildah >/dev/null || echo buildah
    command -v zsh >/dev/null || echo zsh
    command -v fish >/dev/null || echo fish
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

# cloud-init's schema of a machine's first-boot data, taken out of Debian's package. The package is never installed:
# it would act at this machine's next boot.
cloud_init_schema() {
    local to=$ROOT/.venv-infra/cloud-init.json place
    [[ ! -s $to ]] && command -v apt-get >/dev/null || return 0
    place=$(mktemp -d)
    chmod 0755 "$place"
    if (cd "$place" && { apt-get -qq download cloud-init || { ((EUID == 0)) && apt-get -qq update && apt-get -qq download cloud-init; }; }) >/dev/null 2>&1; then
        say "setup: the schema of cloud-init"
        dpkg-deb --fsys-tarfile "$place"/cloud-init_*.deb |
            tar --extract --to-stdout --wildcards '*/schema-cloud-config-v1.json' >"$to"
    else
        say "setup: cloud-init could not be downloaded"
    fi
    rm -rf "$place"
}

# cargo-deb is built from crates.io; only the whole run needs it.
package_builder() {
    if [[ $WHAT == fast ]] || command -v cargo-deb >/dev/null || [[ -x $ROOT/.venv-infra/bin/cargo-deb ]]; then
        return
    fi
    say "setup: cargo install cargo-deb"
    cargo install --quiet cargo-deb --version "$CARGO_DEB" --locked --root "$ROOT/.venv-infra" ||
        say "setup: cargo-deb could not be installed"
}

WHAT=${1:-all}
CARGO_DEB=3.8.0
require_cargo
exec 9<"$ROOT"
flock 9
packages
virtual_environment
cloud_init_schema
package_builder
