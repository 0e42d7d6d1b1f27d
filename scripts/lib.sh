# shellcheck shell=bash
# What the scripts share: where things are, how to say something, how to end.
# Sourced, never run. It starts nothing.

ROOT=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
export PIP_DISABLE_PIP_VERSION_CHECK=1

# Data goes to stdout, messages to stderr; each argument is a line.
say() { printf '%s\n' "$@" >&2; }

# die [-CODE] MESSAGE: prints one line and exits.
die() {
    local code=1
    if [[ $1 =~ ^-[0-9]+$ ]]; then
        code=${1#-}
        shift
    fi
    say "thalweg: $*"
    exit "$code"
}

# rustup puts cargo into a folder that only a login shell has in its PATH.
require_cargo() {
    if ! command -v cargo >/dev/null 2>&1 && [[ -x ${CARGO_HOME:-${HOME:-/root}/.cargo}/bin/cargo ]]; then
        PATH="${CARGO_HOME:-${HOME:-/root}/.cargo}/bin:$PATH"
        export PATH
    fi
    command -v cargo >/dev/null 2>&1 || die "cargo is missing: install Rust with rustup first (https://rustup.rs)"
}

# Where cargo puts what it builds, whatever the environment or cargo's own configuration says.
target_dir() {
    cargo metadata --manifest-path "$ROOT/Cargo.toml" --locked --no-deps --format-version 1 |
        "$ROOT/.venv/bin/python" -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])'
}

POLICY=/usr/sbin/policy-rc.d

# A package with a daemon would start it: policy-rc.d forbids that, and is restored afterwards.
apt_install() (
    exec 8</usr/sbin
    flock 8
    trap restore_policy EXIT
    # A policy-rc.d of ours may be left from a setup that was killed: that file is not saved.
    if [[ -e $POLICY && ! -e $POLICY.thalweg-saved ]] && ! grep -q thalweg-setup "$POLICY"; then
        mv "$POLICY" "$POLICY.thalweg-saved"
    fi
    printf '#!/bin/sh\n# thalweg-setup: removed when the installation ends.\nexit 101\n' >"$POLICY"
    chmod 755 "$POLICY"
    export DEBIAN_FRONTEND=noninteractive
    apt-get -q -o DPkg::Lock::Timeout=120 update >&2 || say "setup: apt-get update failed, trying with the lists at hand"
    apt-get -q -y -o DPkg::Lock::Timeout=120 install --no-install-recommends "$@" >&2
)

restore_policy() {
    rm -f "$POLICY"
    if [[ -e $POLICY.thalweg-saved ]]; then
        mv "$POLICY.thalweg-saved" "$POLICY"
    fi
}
