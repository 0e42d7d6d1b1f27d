#!/usr/bin/env bash
# uvicorn 0.54.0 (httptools 0.9.0) counts idle keep-alive connections against --limit-concurrency.
# Seen: with a limit of 5, one request is 200 alone and 503 while four connections are open that ask for nothing.
# A proxy that keeps a pool of idle connections makes such an endpoint answer 503 without any load.
# shellcheck source=findings/lib.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

install uvicorn==0.54.0 httptools==0.9.0
cat >"$FOLDER/app.py" <<'PY'
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})
PY
# ask PORT IDLE: the status of a GET while so many connections, which have had one answer each, are idle.
ask() {
    "$PYTHON" - "$1" "$2" <<'PY'
import http.client, sys

port, idle = int(sys.argv[1]), int(sys.argv[2])


def get(conn):
    conn.request("GET", "/")
    answer = conn.getresponse()
    answer.read()
    return answer.status


kept = [http.client.HTTPConnection("127.0.0.1", port, timeout=5) for _ in range(idle)]
assert all(get(conn) == 200 for conn in kept), "the pool could not be filled"
print(get(http.client.HTTPConnection("127.0.0.1", port, timeout=5)))
PY
}
port=$(free_port)
serve "$port" "$PYTHON" -m uvicorn app:app --http httptools --limit-concurrency 5 --timeout-keep-alive 60 --port "$port"
same "no idle connection" 200 "$(ask "$port" 0)"
same "four idle connections" 503 "$(ask "$port" 4)"
