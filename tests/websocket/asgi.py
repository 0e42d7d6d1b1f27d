"""An ASGI application with WebSockets, for the scenarios with hypercorn: `/deny` is refused, `/close/CODE` closes with that code,
`/via` says what it got; else it echoes. A request without a WebSocket gets 200."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"plain"})
    elif scope["type"] == "websocket":
        await talk(scope, receive, send)


async def talk(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    await receive()
    path = scope["path"]
    if path == "/deny":
        await send({"type": "websocket.close"})
        return
    offered = scope.get("subprotocols", [])
    await send({"type": "websocket.accept", "subprotocol": "chat" if "chat" in offered else None})
    if path.startswith("/close/"):
        await send({"type": "websocket.close", "code": int(path.rsplit("/", 1)[1])})
        return
    if path == "/via":
        names = (b"via", b"sec-websocket-key", b"x-forwarded-proto", b"x-forwarded-for")
        found = [[value.decode() for key, value in scope["headers"] if key == name] for name in names]
        await send({"type": "websocket.send", "text": repr([scope["http_version"], *found])})
    while (message := await receive())["type"] == "websocket.receive":
        data = {key: message[key] for key in ("bytes", "text") if message.get(key) is not None}
        await send({"type": "websocket.send", **data})
