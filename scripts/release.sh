#!/usr/bin/env bash
# Builds the binary that is shipped, trained on the bench's own load (profile-guided optimisation): an instrumented
# build, a bounded run over all protocols, body sizes, retries and reloads, and a build that uses its profile.
# Prints the path of the binary. Where the tools are missing it says so and ships the plain build.
#   scripts/release.sh             (`make release`)
#   SECONDS_PER_LOAD=1 scripts/release.sh
# Needs llvm-profdata of rustc's LLVM (Debian: llvm-22), wrk, h2load and openssl.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

cd -- "$ROOT"
require_cargo
target=${CARGO_TARGET_DIR:-$ROOT/target}
host=$(rustc -vV | sed -n 's/^host: //p')
llvm=$(rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
shipped=$target/trained/thalweg
span=${SECONDS_PER_LOAD:-4}

profdata() {
    local candidate
    for candidate in "$(rustc --print sysroot)/lib/rustlib/$host/bin/llvm-profdata" "/usr/lib/llvm-$llvm/bin/llvm-profdata"; do
        [[ -x $candidate ]] && printf '%s\n' "$candidate" && return
    done
    command -v "llvm-profdata-$llvm"
}

# ship BINARY HOW: copies it to where other scripts expect it; the bench reads from the file beside it how it was built.
ship() {
    mkdir -p "$target/trained"
    cp -- "$1" "$shipped"
    printf '%s\n' "$2" >"$shipped.build"
    printf '%s\n' "$shipped"
}

plain() {
    printf '!! release: NOT TRAINED: %s; this is the plain build\n' "$1" >&2
    cargo build --release --locked -p thalweg-edge >&2
    ship "$target/release/thalweg" plain
    exit 0
}

tool=$(profdata) || plain "llvm-profdata $llvm is missing (Debian: apt-get install llvm-$llvm)"
for command in wrk h2load openssl; do
    command -v "$command" >/dev/null || plain "$command is missing (bench/setup.sh installs it)"
done

work=$(mktemp -d)
pids=()
stop() {
    [[ ${#pids[@]} -eq 0 ]] || kill "${pids[@]}" 2>/dev/null || true
    rm -rf -- "$work"
}
trap stop EXIT

# A target of its own, so that build scripts and the plain build stay as they are.
build() {
    RUSTFLAGS=$1 cargo build --release --locked -p thalweg-edge --target "$host" --target-dir "$target/pgo" >&2
}

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

printf 'release: instrumented build …\n' >&2
build "-Cprofile-generate=$work/raw"
cargo build --release --locked -p thalweg-bench --bins >&2

read -r ep1 ep2 dead http https admin < <(for _ in 1 2 3 4 5 6; do free_port; done | xargs)
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=127.0.0.1 \
    -addext subjectAltName=IP:127.0.0.1 -keyout "$work/site.key" -out "$work/site.crt" 2>/dev/null
config() {
    cat <<TOML
version = 1
[edge]
workers = 1
[admin]
bind = "127.0.0.1:$admin"
[[listener]]
name = "plain"
bind = "127.0.0.1:$http"
[[listener]]
name = "tls"
bind = "127.0.0.1:$https"
protocols = ["h2", "http/1.1"]
[listener.tls]
certificates = [{ cert = "site.crt", key = "site.key" }]
[probe.fastapi]
path = "/health"
interval = "1s"
timeout = "300ms"
[pool.near]
probe = "fastapi"
endpoints = [{ address = "127.0.0.1:$ep1" }]
[pool.far]
probe = "fastapi"
endpoints = [{ address = "127.0.0.1:$ep2" }]
[pool.dead]
endpoints = [{ address = "127.0.0.1:$dead" }]
[route.all]
path_prefix = "/"
policy = "$1"
pools = [{ pool = "near" }, { pool = "far" }]
[route.retried]
path_prefix = "/retried"
policy = "failover"
pools = [{ pool = "dead" }, { pool = "near" }]
[log]
access = "json"
TOML
}
config weighted >"$work/thalweg.toml"

"$target/release/bench-endpoint" --ports "$ep1,$ep2" >/dev/null &
pids+=($!)
"$target/pgo/$host/release/thalweg" run --config "$work/thalweg.toml" >/dev/null 2>"$work/edge.log" &
edge=$!
pids+=("$edge")
for _ in $(seq 100); do
    curl -fsS "http://127.0.0.1:$admin/readyz" >/dev/null 2>&1 && break
    sleep 0.1
done

printf 'release: training …\n' >&2
cat >"$work/post.lua" <<'LUA'
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/octet-stream"
wrk.body = string.rep("x", 2048)
LUA
load() { wrk -t1 -c32 -d"${span}s" "$@" >/dev/null; }
for policy in weighted latency failover; do
    config "$policy" >"$work/thalweg.toml"
    kill -HUP "$edge"
    load "http://127.0.0.1:$http/"
done
load "http://127.0.0.1:$http/retried"
load -s "$work/post.lua" "http://127.0.0.1:$http/echo"
load "http://127.0.0.1:$http/64k"
load "http://127.0.0.1:$http/1m"
load "https://127.0.0.1:$https/"
for path in / /64k; do
    h2load -t1 -c16 -m8 -D"$span" "https://127.0.0.1:$https$path" >/dev/null
done
# New connections: handshakes, accepts, closes.
for _ in $(seq 200); do
    curl -sSk -o /dev/null "https://127.0.0.1:$https/" || true
done
kill -TERM "$edge"
wait "$edge" || plain "the instrumented edge failed: $(tail -3 "$work/edge.log")"

"$tool" merge -o "$work/trained.profdata" "$work/raw"
printf 'release: trained build …\n' >&2
build "-Cprofile-use=$work/trained.profdata"
ship "$target/pgo/$host/release/thalweg" trained
