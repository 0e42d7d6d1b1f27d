#!/usr/bin/env bash
# FastAPI 0.165.0 (Starlette 1.10.0, uvicorn 0.54.0) answers HEAD with 405 on a route that was declared for GET.
# Seen: GET /health 200, HEAD /health 405; the same route made with Starlette's Route answers HEAD 200.
# RFC 9110, section 9.1: a general-purpose server must support GET and HEAD. A health check by HEAD sees a dead region.
# shellcheck source=findings/lib.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

install fastapi==0.165.0 starlette==1.10.0 uvicorn==0.54.0
cat >"$FOLDER/app.py" <<'PY'
from fastapi import FastAPI
from starlette.responses import JSONResponse
from starlette.routing import Route

app = FastAPI()


@app.get("/health")
async def health():
    return {"status": "ok"}


async def plain(_):
    return JSONResponse({"status": "ok"})


app.router.routes.append(Route("/plain", plain, methods=["GET"]))
PY
port=$(free_port)
serve "$port" "$PYTHON" -m uvicorn app:app --port "$port"
status() { curl --silent --output /dev/null --write-out '%{http_code}' "$@"; }
same "GET /health" 200 "$(status "http://127.0.0.1:$port/health")"
same "HEAD /health" 405 "$(status --head "http://127.0.0.1:$port/health")"
same "HEAD /plain, of Starlette" 200 "$(status --head "http://127.0.0.1:$port/plain")"
