# shellcheck shell=bash
# What the findings share: a temporary folder with a virtual environment, a free port, a server that ends with the
# script. Sourced, never run.
set -euo pipefail

FOLDER=$(mktemp -d)
SERVER=""
trap 'finish' EXIT

finish() {
    [[ -z $SERVER ]] || kill "$SERVER" 2>/dev/null || true
    rm -rf "$FOLDER"
}

# install PACKAGE==VERSION...: from PyPI, into the temporary folder.
install() {
    python3 -m venv "$FOLDER/venv"
    "$FOLDER/venv/bin/pip" install --quiet --disable-pip-version-check "$@"
    # shellcheck disable=SC2034 # read by the scripts that source this one
    PYTHON=$FOLDER/venv/bin/python
}

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# serve PORT COMMAND...: starts it and waits until the port takes connections.
serve() {
    local port=$1
    shift
    (cd "$FOLDER" && exec "$@") >"$FOLDER/server.log" 2>&1 &
    SERVER=$!
    for _ in $(seq 200); do
        if (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            return
        fi
        sleep 0.05
    done
    cat "$FOLDER/server.log" >&2
    echo "the server did not start" >&2
    exit 1
}

# same WHAT EXPECTED ACTUAL: the finding, or the news that it has changed.
same() {
    if [[ $2 == "$3" ]]; then
        printf 'as before: %s: %s\n' "$1" "$3"
    else
        printf 'CHANGED: %s: %s was %s\n' "$1" "$3" "$2" >&2
        exit 1
    fi
}
