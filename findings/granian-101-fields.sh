#!/usr/bin/env bash
# granian 2.8.9 refuses a request of more than 100 header fields, however small they are, with 431. uvicorn 0.54.0
# (httptools 0.9.0) serves it. Seen: 100 fields 200, 101 fields 431; uvicorn 200 for 300 fields.
# A proxy that adds four fields of its own turns 97 good fields of a client into a 431 that the application never sees.
# shellcheck source=findings/lib.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

install granian==2.8.9 uvicorn==0.54.0 httptools==0.9.0
cat >"$FOLDER/app.py" <<'PY'
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})
PY
# fields PORT COUNT: the status of a GET with so many fields, Host included.
fields() {
    "$PYTHON" - "$1" "$2" <<'PY'
import socket, sys

port, count = int(sys.argv[1]), int(sys.argv[2])
more = "".join(f"x-{nth}: 1\r\n" for nth in range(count - 2))
with socket.create_connection(("127.0.0.1", port), 5) as conn:
    conn.sendall(f"GET / HTTP/1.1\r\nhost: a\r\n{more}connection: close\r\n\r\n".encode())
    print(conn.makefile("rb").readline().split()[1].decode())
PY
}
port=$(free_port)
serve "$port" "$PYTHON" -m granian --interface asginl --port "$port" app:app
same "granian, 100 fields" 200 "$(fields "$port" 100)"
same "granian, 101 fields" 431 "$(fields "$port" 101)"
kill "$SERVER"
port=$(free_port)
serve "$port" "$PYTHON" -m uvicorn app:app --http httptools --port "$port"
same "uvicorn, 300 fields" 200 "$(fields "$port" 300)"
