"""A WebSocket server over HTTP/1.1 for the scenarios: PORT. `/deny` is 403, `/plain` a 200 without an upgrade, `/close/CODE` closes with that code; else it echoes."""

from __future__ import annotations

import asyncio
import http
import sys
from collections.abc import Sequence

from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response


def refuse(connection: ServerConnection, request: Request) -> Response | None:
    if request.path == "/deny":
        return connection.respond(http.HTTPStatus.FORBIDDEN, "not you\n")
    if request.path == "/plain":
        return connection.respond(http.HTTPStatus.OK, "no upgrade\n")
    return None


def choose(_: ServerConnection, offered: Sequence[str]) -> str | None:
    return "chat" if "chat" in offered else None


async def talk(connection: ServerConnection) -> None:
    assert connection.request is not None
    path = connection.request.path
    if path.startswith("/close/"):
        await connection.close(int(path.rsplit("/", 1)[1]), "as asked")
        return
    if path == "/via":
        names = ("via", "sec-websocket-key", "x-forwarded-proto", "x-forwarded-for", "host")
        await connection.send(repr([connection.request.headers.get_all(name) for name in names]))
    async for message in connection:
        await connection.send(message)


async def main(port: int) -> None:
    options = {"process_request": refuse, "select_subprotocol": choose, "max_size": None}
    async with serve(talk, "127.0.0.1", port, **options) as server:  # type: ignore[arg-type]
        await server.serve_forever()


asyncio.run(main(int(sys.argv[1])))
