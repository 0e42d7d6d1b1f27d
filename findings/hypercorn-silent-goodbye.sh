#!/usr/bin/env bash
# hypercorn 0.18.0 does not say "Connection: close" on the answer that is in flight at SIGTERM; uvicorn 0.54.0
# (httptools 0.9.0) does. Seen: hypercorn's answer has no connection field and the connection ends after it.
# A proxy that keeps the connection for the next request loses that request in a restart; a POST cannot be sent again.
# shellcheck source=findings/lib.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

install hypercorn==0.18.0 uvicorn==0.54.0 httptools==0.9.0
cat >"$FOLDER/app.py" <<'PY'
import asyncio


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            kind = (await receive())["type"]
            await send({"type": f"{kind}.complete"})
            if kind == "lifespan.shutdown":
                return
    if scope["path"] == "/slow":
        await asyncio.sleep(1)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})
PY
# goodbye PORT: what the answer that is in flight at SIGTERM says about its connection, and whether the connection ends.
goodbye() {
    "$PYTHON" - "$1" "$SERVER" <<'PY'
import os, signal, socket, sys, time

port, pid = int(sys.argv[1]), int(sys.argv[2])
with socket.create_connection(("127.0.0.1", port), 10) as conn:
    conn.sendall(b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n")
    time.sleep(0.3)
    os.kill(pid, signal.SIGTERM)
    answer = b""
    while piece := conn.recv(4096):
        answer += piece
head = answer.split(b"\r\n\r\n")[0].lower().split(b"\r\n")
assert head[0].startswith(b"http/1.1 200"), answer
said = [line.split(b":")[1].strip().decode() for line in head if line.startswith(b"connection:")]
print((said or ["nothing"])[0], "and ends")
PY
}
port=$(free_port)
serve "$port" "$PYTHON" -m hypercorn --bind "127.0.0.1:$port" --graceful-timeout 5 app:app
same "hypercorn" "nothing and ends" "$(goodbye "$port")"
port=$(free_port)
serve "$port" "$PYTHON" -m uvicorn app:app --http httptools --port "$port"
same "uvicorn" "close and ends" "$(goodbye "$port")"
