#!/usr/bin/env bash
# Runs every test, goes on after a failure, and ends with one line per step.
#   scripts/test.sh          everything (`make test`)
#   scripts/test.sh lint     formats and lints only (`make lint`)
#   scripts/test.sh long     the slow tests only (`make test-long`)
# A step that cannot run is SKIPPED, loudly. With CI=true a skip is a failure, unless
# scripts/not-obtainable.txt names it. A test that skips appends `NAME: reason` to $THALWEG_SKIPS.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

CARGO_DENY=0.20.2

SUMMARY=()
FAILED=0

main() {
    local what=${1:-all}
    cd -- "$ROOT"
    THALWEG_SKIPS=$(mktemp)
    export THALWEG_SKIPS
    trap 'rm -f "$THALWEG_SKIPS"' EXIT

    step setup scripts/setup.sh
    ((FAILED == 0)) || summary
    require_cargo
    # Absolute: tests run in directories of their own.
    export THALWEG_PYTHON="$ROOT/.venv/bin/python"

    case $what in
    all)
        lint_steps
        test_steps
        ;;
    lint) lint_steps ;;
    long) long_steps ;;
    *) die -2 "usage: scripts/test.sh [all|lint|long]" ;;
    esac
    summary
}

lint_steps() {
    if has rustfmt cargo fmt --version; then
        step rustfmt cargo fmt --all --check
    fi
    if has clippy cargo clippy --version; then
        step clippy cargo clippy --workspace --all-targets --locked -- -D warnings
    fi
    # A broken link, or one to a private item, is a warning; a warning fails here.
    step "cargo doc" env RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked --quiet
    if has_cargo_deny; then
        step "cargo deny" "$(target_dir)/tools/bin/cargo-deny" --locked check --hide-inclusion-graph bans licenses sources
    fi
    step black "$THALWEG_PYTHON" -m black --check --quiet --diff app
    step isort "$THALWEG_PYTHON" -m isort --check --settings-path app app
    step flake8 "$THALWEG_PYTHON" -m flake8 --config app/.flake8 app
    if has shellcheck shellcheck --version; then
        step shellcheck shellcheck -x scripts/*.sh findings/*.sh .ci/run
    fi
    if looks_at_commits; then
        step "commit subjects" scripts/commit-subjects.sh
    fi
}

test_steps() {
    build_edge debug
    step "cargo test" "$THALWEG_PYTHON" scripts/cargo_tests.py
    step "infra, fast" scripts/test-infra.sh fast
    step "bench rig" "$THALWEG_PYTHON" -m unittest discover -q -s bench -t bench
    step pytest "$THALWEG_PYTHON" -m pytest -q -p no:cacheprovider --rootdir app -c app/pyproject.toml app/tests
}

# Times count here, so the edge is the shipped build.
long_steps() {
    build_edge release
    export THALWEG_LONG=1 PROPTEST_CASES="${PROPTEST_CASES:-20000}"
    step infra scripts/test-infra.sh
    if has fuzz cargo +nightly fuzz --version; then
        step fuzz scripts/fuzz.sh
    fi
    step "cargo test, long" cargo test --workspace --locked --release --no-fail-fast -- --include-ignored
}

# The scenarios run the real binary; THALWEG_BIN names it.
build_edge() {
    local profile=$1 flags=()
    if [[ $profile == release ]]; then
        flags=(--release)
    fi
    step "build edge ($profile)" cargo build --locked -p thalweg-edge "${flags[@]}"
    THALWEG_BIN="$(target_dir)/$profile/thalweg"
    export THALWEG_BIN
}

# step NAME COMMAND...: runs it, remembers how it ended and how long it took.
step() {
    local name=$1 started=$EPOCHREALTIME code=0
    shift
    say "" "── $name: $*"
    "$@" || code=$?
    local took_ms=$(((${EPOCHREALTIME/./} - ${started/./}) / 1000)) verdict=ok
    if ((code)); then
        verdict="FAILED ($code)"
        FAILED=1
    fi
    SUMMARY+=("$(printf '%-14s %7d.%d s  %s' "$verdict" $((took_ms / 1000)) $((took_ms % 1000 / 100)) "$name")")
}

# has NAME COMMAND...: whether a tool works here; if not, the step of that name is skipped.
has() {
    local name=$1
    shift
    "$@" >/dev/null 2>&1 || {
        echo "$name: \`$*\` does not work here" >>"$THALWEG_SKIPS"
        return 1
    }
}

# cargo-deny is built once per target folder, which takes four minutes of CPU time, and only for lints.
has_cargo_deny() {
    local tools
    tools="$(target_dir)/tools"
    [[ $("$tools/bin/cargo-deny" --version 2>/dev/null) == "cargo-deny $CARGO_DENY" ]] && return
    say "" "── setup: cargo install cargo-deny $CARGO_DENY (some minutes, once)"
    CARGO_PROFILE_DEV_DEBUG=0 cargo install --debug --quiet cargo-deny --version "$CARGO_DENY" --locked --root "$tools" || {
        echo "cargo deny: cargo-deny $CARGO_DENY could not be installed" >>"$THALWEG_SKIPS"
        return 1
    }
}

# An unpacked archive and a shallow clone have no commits to look at; the script says why.
looks_at_commits() {
    local code=0 why
    why=$(scripts/commit-subjects.sh 2>&1) || code=$?
    if ((code == 77)); then
        echo "commit subjects: ${why#SKIPPED: }" >>"$THALWEG_SKIPS"
        return 1
    fi
}

summary() {
    local line
    while IFS= read -r line; do
        skipped "$line"
    done < <(sort -u "$THALWEG_SKIPS")
    say "" "── summary"
    printf '%s\n' "${SUMMARY[@]}" >&2
    if ((FAILED)); then
        say "FAILED"
        exit 1
    fi
    say "passed"
}

skipped() {
    local line=$1 verdict=SKIPPED
    if [[ ${CI:-} == true ]] && ! grep -qxF -- "${line%%:*}" "$ROOT/scripts/not-obtainable.txt"; then
        verdict="SKIPPED, FAILS"
        FAILED=1
    fi
    SUMMARY+=("$(printf '%-14s %9s    %s' "$verdict" "" "$line")")
}

main "$@"
