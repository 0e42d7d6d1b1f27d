"""Answers that flow: echo, bytes, server-sent events. Bounded memory, whatever the size."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

CHUNK = bytes(range(256)) * 256  # 64 KiB


class EchoResponse(Response):
    """Sends each piece of the request's body back as it arrives.

    Not a StreamingResponse: that one listens for a disconnect meanwhile and so would eat pieces.
    """

    def __init__(self, content_type: str) -> None:
        super().__init__(headers={"content-type": content_type})
        # The length is known only at the end: let the server choose the framing.
        self.raw_headers = [(n, v) for n, v in self.raw_headers if n != b"content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Receive before the head goes out: this is what makes the server say 100 Continue.
        message = await receive()
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        while message["type"] == "http.request":
            more = message.get("more_body", False)
            body = message.get("body", b"")
            if body or not more:
                await send({"type": "http.response.body", "body": body, "more_body": more})
            if not more:
                return
            message = await receive()


async def chunks(size: int) -> AsyncIterator[bytes]:
    """`size` bytes that repeat 0..255, 64 KiB at a time."""
    while size > 0:
        yield CHUNK if size >= len(CHUNK) else CHUNK[:size]
        size -= len(CHUNK)


async def events(count: int, interval_ms: int) -> AsyncIterator[str]:
    """`count` numbered events, `interval_ms` apart, the first at once."""
    for number in range(count):
        if number:
            await asyncio.sleep(interval_ms / 1000)
        yield f"id: {number}\nevent: tick\ndata: {number}\n\n"
