#!/usr/bin/env bash
# Installs what is missing, and nothing else: Debian packages (as root) and `.venv` for the application.
# Repeating it costs well under a second. It never starts a service.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

PYTHON_MIN="(3, 11)"

main() {
    require_cargo
    packages
    # One setup at a time per clone; the lock goes with the process.
    exec 9<"$ROOT"
    flock 9
    virtual_environment
    browser_driver
}

# Prints the Debian packages that are missing. aws-lc-sys builds with the C compiler alone: no cmake.
missing_essential() {
    { command -v cc && [[ -e /usr/include/stdio.h ]]; } >/dev/null || echo gcc libc6-dev
    command -v make >/dev/null || echo make
    command -v curl >/dev/null || echo curl
    base_python >/dev/null || echo python3 python3-venv
}

missing_optional() {
    [[ -e /etc/ssl/certs/ca-certificates.crt ]] || echo ca-certificates
    command -v openssl >/dev/null || echo openssl
    command -v ip >/dev/null || echo iproute2
    command -v nft >/dev/null || [[ -x /usr/sbin/nft ]] || echo nftables
    command -v ps >/dev/null || echo procps
    command -v dig >/dev/null || echo bind9-dnsutils
    command -v bird >/dev/null || [[ -x /usr/sbin/bird ]] || echo bird2
    command -v shellcheck >/dev/null || echo shellcheck
    command -v redis-server >/dev/null || echo redis-server
    [[ -n $(find /usr/lib/postgresql -name initdb -print -quit 2>/dev/null) ]] || echo postgresql
    command -v setpriv >/dev/null || echo util-linux
    command -v man >/dev/null || echo man-db
    command -v chromium >/dev/null || echo chromium
    command -v node >/dev/null || echo nodejs
    command -v npm >/dev/null || echo npm
    # Proxies before and behind the edge in scenarios of the PROXY protocol.
    command -v haproxy >/dev/null || [[ -x /usr/sbin/haproxy ]] || echo haproxy
    command -v nginx >/dev/null || [[ -x /usr/sbin/nginx ]] || echo nginx-light
    [[ -e /usr/lib/nginx/modules/ngx_stream_module.so ]] || echo libnginx-mod-stream
}

packages() {
    local essential optional
    mapfile -t essential < <(missing_essential | tr ' ' '\n')
    mapfile -t optional < <(missing_optional | tr ' ' '\n')
    local wanted=("${essential[@]}" "${optional[@]}")
    ((${#wanted[@]})) || return 0

    local line="apt-get install -y --no-install-recommends ${wanted[*]}"
    if ((EUID == 0)) && command -v apt-get >/dev/null; then
        say "setup: $line"
        apt_install "${wanted[@]}" || say "setup: apt-get did not succeed"
        mapfile -t essential < <(missing_essential | tr ' ' '\n')
        mapfile -t optional < <(missing_optional | tr ' ' '\n')
    else
        say "setup: missing, and only root can install it:"
        say "    $line"
    fi
    ((${#essential[@]} == 0)) || die "cannot go on without: ${essential[*]}"
    ((${#optional[@]} == 0)) || say "setup: going on without: ${optional[*]} (what needs it is skipped, and said so)"
}

# The first interpreter that is new enough and can make virtual environments; Debian's own first.
base_python() {
    local candidate
    for candidate in ${THALWEG_BASE_PYTHON:-} /usr/bin/python3 python3 python3.13 python3.12 python3.11; do
        if "$candidate" -c "import sys, venv, ensurepip; sys.exit(sys.version_info < $PYTHON_MIN)" 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

# The stamp names what `.venv` was made from and where: an environment that moved is not usable.
virtual_environment() {
    local python stamp
    python=$(base_python)
    stamp=$({
        echo "$ROOT"
        "$python" --version
        cat "$ROOT/app/requirements.txt" "$ROOT/app/requirements-dev.txt" "$ROOT/tests/requirements.txt"
    } | sha256sum)
    if [[ $(cat "$ROOT/.venv/.stamp" 2>/dev/null) == "$stamp" && -x $ROOT/.venv/bin/python ]]; then
        return
    fi
    say "setup: .venv from app/requirements.txt and app/requirements-dev.txt"
    rm -rf "$ROOT/.venv"
    "$python" -m venv "$ROOT/.venv"
    "$ROOT/.venv/bin/python" -m pip install --quiet --require-hashes \
        -r "$ROOT/app/requirements.txt" -r "$ROOT/app/requirements-dev.txt" >&2 ||
        die "the Python packages of app/requirements*.txt could not be installed"
    "$ROOT/.venv/bin/python" -m pip install --quiet --require-hashes -r "$ROOT/tests/requirements.txt" >&2 ||
        say "setup: going on without nats-server, aioquic and dnspython (scenarios of the fleet, of HTTP/3 and of DNS are skipped, and said so)"
    printf '%s\n' "$stamp" >"$ROOT/.venv/.stamp"
}

# The driver of Chromium for the scenarios of the admin page. Without it they are skipped with a message.
browser_driver() {
    local folder=$ROOT/tests/cockpit stamp
    command -v npm >/dev/null || return 0
    stamp=$(sha256sum <"$folder/package-lock.json")
    [[ $(cat "$folder/node_modules/.stamp" 2>/dev/null) != "$stamp" ]] || return 0
    say "setup: tests/cockpit/node_modules from tests/cockpit/package-lock.json"
    if npm ci --prefix "$folder" --ignore-scripts --no-audit --no-fund >&2; then
        printf '%s\n' "$stamp" >"$folder/node_modules/.stamp"
    else
        say "setup: going on without playwright-core and axe-core"
    fi
}

main
