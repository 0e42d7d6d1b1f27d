#!/usr/bin/env bash
# `make run`: three FastAPI regions and the edge in front of them, on this machine, until Ctrl-C.
# This process is the parent of all it starts and ends all of it, by pid. What it writes is in RUN_DIR.
#
#   PORT, ADMIN_PORT   where the edge listens (8080, 9900)
#   RUN_DIR            generated config, logs, helper scripts (.run)
#   THALWEG_BIN        an edge that is already built: skips the build
#   REQUEST_LOG_DIR    where each region keeps the ids of the requests it received (nowhere)
set -euo pipefail
# A shell starts its background jobs with SIGINT ignored, and bash cannot trap what was ignored.
if [[ $(trap -p INT) == "trap -- '' SIGINT" ]]; then
    exec env --default-signal=INT "$0" "$@"
fi
# shellcheck source=scripts/lib.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

PORT=${PORT:-8080}
ADMIN_PORT=${ADMIN_PORT:-9900}
RUN_DIR=${RUN_DIR:-$ROOT/.run}
CLOUDS=(aws gcp azure)
REGIONS=(us-east-1 europe-west1 southeastasia)

declare -A REGION_PORT REGION_PID REGION_CLOUD
EDGE_PID=""
BUILD_PID=""
STARTED_BY_MAKE=""

main() {
    take_ports_and_directory
    trap stop EXIT
    trap 'exit 0' INT TERM HUP
    if [[ $(cat "/proc/$PPID/comm") == *make ]]; then
        STARTED_BY_MAKE=$PPID
    fi
    "$ROOT/scripts/setup.sh"
    PYTHON=$ROOT/.venv/bin/python
    build_edge
    start_regions
    write_config
    start_edge
    write_helpers
    explain
    watch
}

# Every complaint about the surroundings comes first, before anything is built.
take_ports_and_directory() {
    local name port
    for name in PORT ADMIN_PORT; do
        port=${!name}
        if ! [[ $port =~ ^[1-9][0-9]{0,4}$ ]] || ((port > 65535)); then
            die -2 "$name=$port is not a port (1 to 65535)"
        fi
    done
    [[ $PORT != "$ADMIN_PORT" ]] || die -2 "PORT and ADMIN_PORT are both $PORT"
    command -v python3 >/dev/null || "$ROOT/scripts/setup.sh"
    for name in PORT ADMIN_PORT; do
        port_is_free "${!name}" ||
            die -3 "port ${!name} is taken or not permitted: choose another with $name="
    done
    mkdir -p -- "$RUN_DIR"
    RUN_DIR=$(cd -- "$RUN_DIR" && pwd)
    exec 9>"$RUN_DIR/lock"
    flock -n 9 || die "another \`make run\` uses $RUN_DIR: stop it, or choose another directory with RUN_DIR="
}

# As the edge will bind it: an old connection in TIME_WAIT is no hindrance, a listener is.
port_is_free() {
    python3 - "$1" <<'PY' 2>/dev/null
import socket, sys
with socket.socket() as s:
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("127.0.0.1", int(sys.argv[1])))
PY
}

build_edge() {
    if [[ -n ${THALWEG_BIN:-} ]]; then
        [[ -x $THALWEG_BIN ]] || die -2 "THALWEG_BIN=$THALWEG_BIN is not a program"
        EDGE=$THALWEG_BIN
        return
    fi
    require_cargo
    say "building the edge (release; the first time takes some minutes) …"
    # In the background, because bash runs a trap only between foreground commands.
    own cargo build --manifest-path "$ROOT/Cargo.toml" --release --locked --quiet -p thalweg-edge 9>&- &
    BUILD_PID=$!
    wait "$BUILD_PID" || die "the edge could not be built"
    BUILD_PID=""
    EDGE=$(target_dir)/release/thalweg
}

start_regions() {
    local i name ports
    # Below the range the kernel gives to outgoing connections, so that a dead region's port stays free.
    mapfile -t ports < <("$PYTHON" - "${#REGIONS[@]}" "$PORT" "$ADMIN_PORT" <<'PY'
import random, socket, sys
taken, count = {int(p) for p in sys.argv[2:]}, int(sys.argv[1])
for port in random.sample(range(20000, 32000), 2000):
    with socket.socket() as s:
        try:
            s.bind(("127.0.0.1", port))
        except OSError:
            continue
    if port not in taken and count:
        print(port)
        count -= 1
PY
    )
    for i in "${!REGIONS[@]}"; do
        name=${REGIONS[i]}
        REGION_CLOUD[$name]=${CLOUDS[i]}
        REGION_PORT[$name]=${ports[i]}
        rm -f -- "$RUN_DIR/$name".{slow,fail,log}
        start_region "$name"
    done
    for name in "${REGIONS[@]}"; do
        wait_for "http://127.0.0.1:${REGION_PORT[$name]}/alive" "${REGION_PID[$name]}" 30 ||
            die "region $name did not start: see $RUN_DIR/$name.log"
    done
}

start_region() {
    local name=$1
    pushd "$ROOT/app" >/dev/null
    CLOUD=${REGION_CLOUD[$name]} REGION=$name INSTANCE=$name-1 \
        HEALTH_CHECK_FAIL_FILE=$RUN_DIR/$name.fail SLOW_FILE=$RUN_DIR/$name.slow \
        REQUEST_LOG=${REQUEST_LOG_DIR:+$REQUEST_LOG_DIR/$name.requests} \
        own "$PYTHON" -m uvicorn app.main:app --host 127.0.0.1 --port "${REGION_PORT[$name]}" \
        --timeout-graceful-shutdown 2 >>"$RUN_DIR/$name.log" 2>&1 9>&- &
    REGION_PID[$name]=$!
    # Disowned: `watch` reports a kill, not the shell.
    disown
    popd >/dev/null
    echo "${REGION_PID[$name]}" >"$RUN_DIR/$name.pid"
}

# A session of its own: Ctrl-C reaches only this script, which then ends all children in order. If this
# script is killed, the kernel ends the child.
own() {
    exec setsid setpriv --pdeathsig TERM -- "$@"
}

write_config() {
    local name pools=""
    CONFIG=$RUN_DIR/thalweg.toml
    {
        cat <<TOML
# Written by \`make run\` at each start: edit it while it runs, then \`thalweg reload\`.
version = 1

[edge]
name = "local"
region = "us-east-1"
cloud = "aws"
drain_timeout = "5s"

[admin]
bind = "127.0.0.1:$ADMIN_PORT"

[[listener]]
name = "web"
bind = "127.0.0.1:$PORT"

[probe.fastapi]
path = "/health"
expect_json = { status = ["ok"] }
TOML
        for name in "${REGIONS[@]}"; do
            cat <<TOML

[pool.${REGION_CLOUD[$name]}-$name]
cloud = "${REGION_CLOUD[$name]}"
region = "$name"
probe = "fastapi"
endpoints = [{ address = "127.0.0.1:${REGION_PORT[$name]}" }]
TOML
            pools+="  { pool = \"${REGION_CLOUD[$name]}-$name\" },"$'\n'
        done
        cat <<TOML

# No hosts: any host. Failover: the first pool that is up, in this order.
[route.all]
policy = "failover"
pools = [
$pools]
TOML
    } >"$CONFIG"
}

start_edge() {
    own "$EDGE" run --config "$CONFIG" >"$RUN_DIR/access.log" 2>"$RUN_DIR/edge.log" 9>&- &
    EDGE_PID=$!
    echo "$EDGE_PID" >"$RUN_DIR/edge.pid"
    wait_for "http://127.0.0.1:$ADMIN_PORT/readyz" "$EDGE_PID" 20 || edge_failed "did not become ready"
}

edge_failed() {
    local code=0
    tail -n 20 "$RUN_DIR/edge.log" >&2
    if ! alive "$EDGE_PID"; then
        wait "$EDGE_PID" || code=$?
        EDGE_PID=""
        # Its own codes (2 config, 3 address) are worth passing on; all else is a runtime failure.
        die "-$((code == 2 || code == 3 ? code : 1))" "the edge ended with code $code: see $RUN_DIR/edge.log"
    fi
    die "the edge $1: see $RUN_DIR/edge.log"
}

# wait_for URL PID SECONDS: until it answers 2xx; gives up when the process ends or time is over.
wait_for() {
    local url=$1 pid=$2 deadline=$((SECONDS + $3))
    while ! curl --silent --fail --noproxy '*' --max-time 2 --output /dev/null "$url"; do
        alive "$pid" || return 1
        ((SECONDS < deadline)) || return 1
        pause 0.1
    done
}

# A sleep without a child process: nothing ever writes to this pipe.
pause() {
    if [[ -z ${SILENCE:-} ]]; then
        exec {SILENCE}<> <(:)
    fi
    read -r -t "$1" -u "$SILENCE" || true
}

# One small script per region and action. The scripts only touch files and pids; `watch` does the
# revival, because this script must stay the parent of every region.
write_helpers() {
    local name
    for name in "${REGIONS[@]}"; do
        helper "kill-$name" "kill -9 \"\$(cat $name.pid)\" && echo '$name is killed'"
        helper "slow-$name" "echo \"\${1:-800}\" >$name.slow && echo \"$name answers \${1:-800} ms late\""
        helper "fail-$name" ": >$name.fail && echo '/health of $name says 503'"
        helper "revive-$name" "rm -f $name.slow $name.fail" ": >$name.revive" \
            "for _ in \$(seq 100); do" \
            "    if [ ! -e $name.revive ]; then echo '$name is back'; exit 0; fi" \
            "    sleep 0.1" "done" "rm -f $name.revive; echo 'make run does not answer' >&2; exit 1"
    done
}

helper() {
    local file=$RUN_DIR/$1
    shift
    printf '%s\n' "#!/bin/sh" "cd '$RUN_DIR' || exit 1" "$@" >"$file"
    chmod 755 "$file"
}

explain() {
    local name first=${REGIONS[0]} admin="" run edge
    run=$(shown "$RUN_DIR") edge=$(shown "$EDGE")
    ((ADMIN_PORT == 9900)) || admin=" --admin http://127.0.0.1:$ADMIN_PORT"
    cat <<TEXT

  Thalweg runs.   edge  http://127.0.0.1:$PORT     admin  http://127.0.0.1:$ADMIN_PORT

TEXT
    for name in "${REGIONS[@]}"; do
        printf '  %-6s %-14s http://127.0.0.1:%s  pid %s\n' \
            "${REGION_CLOUD[$name]}" "$name" "${REGION_PORT[$name]}" "${REGION_PID[$name]}"
    done
    cat <<TEXT

  Send requests     curl -s http://127.0.0.1:$PORT/
                    while sleep 0.2; do curl -s http://127.0.0.1:$PORT/; echo; done
  Kill a region     $run/kill-$first
  Slow it           $run/slow-$first 800
  Fail its /health  $run/fail-$first
  Revive it         $run/revive-$first
                    (the same for ${REGIONS[1]} and ${REGIONS[2]})

  See it            $edge status$admin
  Ask why           $edge explain$admin --host example.com --path /
  Change it         edit $(shown "$CONFIG"), then
                    $edge reload$admin
  Logs              tail -f $run/access.log $run/edge.log

  Ctrl-C stops all of it.

TEXT
}

# A path as one would type it here.
shown() {
    local path=$1
    if [[ $path == "$PWD"/* ]]; then
        path=${path#"$PWD"/}
    fi
    printf '%q' "$path"
}

# Until asked to stop, or the edge ends.
watch() {
    local name
    while alive "$EDGE_PID"; do
        for name in "${REGIONS[@]}"; do
            tend "$name"
        done
        make_stopped && exit 0
        pause 0.2
    done
    edge_failed "ended"
}

tend() {
    local name=$1 pid=${REGION_PID[$1]}
    if [[ -n $pid ]] && ! alive "$pid"; then
        say "  $name has ended; $(shown "$RUN_DIR/revive-$name") starts it again"
        REGION_PID[$name]=""
        rm -f -- "$RUN_DIR/$name.pid"
    fi
    [[ -e $RUN_DIR/$name.revive ]] || return 0
    if [[ -z ${REGION_PID[$name]} ]]; then
        start_region "$name"
        wait_for "http://127.0.0.1:${REGION_PORT[$name]}/alive" "${REGION_PID[$name]}" 8 || return 0
    fi
    say "  $name is back, pid ${REGION_PID[$name]}"
    rm -f -- "$RUN_DIR/$name.revive"
}

# A `make` that alone gets SIGINT blocks that signal and waits for this script silently; a `make` that was killed
# leaves this script to another parent. In both cases no process is left that would stop this script.
make_stopped() {
    [[ -n $STARTED_BY_MAKE ]] || return 1
    local key value parent="" blocked=0
    while read -r key value _; do
        [[ $key != PPid: ]] || parent=$value
    done <"/proc/$$/status"
    [[ $parent == "$STARTED_BY_MAKE" ]] || return 0
    while read -r key value _; do
        [[ $key != SigBlk: ]] || blocked=$((16#$value))
    done <"/proc/$parent/status" 2>/dev/null || return 0
    # Bit n-1 stands for signal n, and SIGINT is 2.
    ((blocked & 2))
}

# Called by the EXIT trap. In order: the edge drains first, so that no request meets a region that has gone.
# shellcheck disable=SC2317
stop() {
    local code=$? name pids=()
    trap 'HURRY=1' INT TERM HUP
    trap - EXIT
    HURRY=""
    if [[ -n $BUILD_PID ]]; then
        # The whole session: cargo does not end its compilers.
        end 5 "-$BUILD_PID"
    fi
    if [[ -n $EDGE_PID ]]; then
        end 8 "$EDGE_PID"
    fi
    for name in "${REGIONS[@]}"; do
        if [[ -n ${REGION_PID[$name]:-} ]]; then
            pids+=("${REGION_PID[$name]}")
        fi
        rm -f -- "$RUN_DIR/$name".{pid,revive,slow,fail} "$RUN_DIR"/{kill,slow,fail,revive}-"$name"
    done
    end 5 "${pids[@]}"
    rm -f -- "$RUN_DIR/edge.pid"
    if [[ -n ${CONFIG:-} ]]; then
        say "stopped"
    fi
    exit "$code"
}

# end SECONDS PID...: asks, waits, and insists; a second Ctrl-C insists at once. A negative one is a group.
# shellcheck disable=SC2317
end() {
    local deadline=$((SECONDS + $1)) pid
    shift
    for pid in "$@"; do
        kill -TERM -- "$pid" 2>/dev/null || true
        # A stopped process does not handle the signal.
        kill -CONT -- "$pid" 2>/dev/null || true
    done
    for pid in "$@"; do
        while alive "${pid#-}" && ((SECONDS < deadline + 2)); do
            if [[ -n $HURRY ]] || ((SECONDS >= deadline)); then
                kill -KILL -- "$pid" 2>/dev/null || true
            fi
            pause 0.05
        done
    done
}

# Not `kill -0`: it reports a zombie as alive, and in a trap bash may not reap.
alive() {
    local stat=""
    { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
    [[ ${stat##*) } != [ZX]* ]]
}

main "$@"
