#!/usr/bin/env bash
# `make run-server`: the FastAPI application alone on this machine, without an edge, until Ctrl-C.
#
#   PORT   where it listens (8000)
# CLOUD, REGION, DATABASE_URL and the other variables of app/README.md are passed on as they are.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

PORT=${PORT:-8000}
if ! [[ $PORT =~ ^[1-9][0-9]{0,4}$ ]] || ((PORT > 65535)); then
    die -2 "PORT=$PORT is not a port (1 to 65535)"
fi
"$ROOT/scripts/setup.sh"
# Binds as a server does: an old connection in TIME_WAIT does not prevent it, a listener does.
python3 - "$PORT" <<'PY' 2>/dev/null || die -3 "port $PORT is taken or not permitted: choose another with PORT="
import socket, sys
with socket.socket() as s:
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("127.0.0.1", int(sys.argv[1])))
PY
say "the application is on http://127.0.0.1:$PORT (/, /health, /ready, /notes, /docs); Ctrl-C ends it"
cd -- "$ROOT/app"
exec "$ROOT/.venv/bin/uvicorn" app.main:app --host 127.0.0.1 --port "$PORT"
