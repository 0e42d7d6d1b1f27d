"""Around every request: the test hooks (request log, slowness), HEAD as GET, the bound of bodies,
and the meters.

Plain ASGI, no BaseHTTPMiddleware: that one buffers streams and costs a task per request.
Counts the bytes of a body; never looks into them.
"""

from __future__ import annotations

import asyncio
import os
import re
import secrets
from time import perf_counter

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.logs import request_id
from app.settings import Settings
from app.telemetry import Telemetry

REQUEST_ID_MAX_BYTES = 128
# The edge's rule: an id that matches is kept, else a new one is made.
REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
SLOW_MAX_MS = 600_000
NO_ROUTE = "-"
# The largest note takes 24 kB where all of it is escaped.
BODY_MAX_BYTES = 64 * 1024
# Routes that answer while they read, and keep nothing of the body.
STREAMED = frozenset({"/echo"})


class BodyTooLarge(HTTPException):
    """A body over the limit: the rest of it is not read."""

    def __init__(self) -> None:
        super().__init__(413, f"a body has at most {BODY_MAX_BYTES} bytes")


class Around:
    """The only middleware."""

    def __init__(self, app: ASGIApp, settings: Settings, telemetry: Telemetry) -> None:
        self._app = app
        self._telemetry = telemetry
        self._request_log = RequestLog(settings.request_log) if settings.request_log else None
        self._slow_file = settings.slow_file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _http(self, outer: Scope, receive: Receive, send: Send) -> None:
        started = perf_counter()
        status = 500  # what the server answers when the application raises before its head
        answering = False
        unread = BODY_MAX_BYTES
        # No route reads a body of a GET: a stream only listens for the client's end.
        bounded = outer["method"] not in ("GET", "HEAD") and outer["path"] not in STREAMED
        declared = _content_length(outer) if bounded else 0

        async def bound() -> Message:
            """Raises where the application reads, so that routes and meters work as usual. The
            server drops the rest of the body: a client that sends all of it reads a 413."""
            nonlocal unread
            # Before the first read: that is what makes the server say 100 Continue.
            if declared > BODY_MAX_BYTES and not answering:
                raise BodyTooLarge
            message = await receive()
            unread -= len(message.get("body", b""))
            # An answer that has begun goes on: the application only listens for the client's end.
            if unread < 0 and not answering:
                raise BodyTooLarge
            return message

        async def observe(message: Message) -> None:
            nonlocal status, answering
            if message["type"] == "http.response.start":
                status, answering = message["status"], True
            await send(message)

        # A copy: the server must still see HEAD, because the server withholds the body.
        scope = dict(outer, method="GET") if outer["method"] == "HEAD" else outer
        self._telemetry.in_flight.inc()
        token = request_id.set(_request_id(scope))
        try:
            if self._request_log is not None:
                self._request_log.append(scope)
            if self._slow_file is not None and scope["path"] != "/health":
                await _slow(self._slow_file)
            await self._app(scope, bound if bounded else receive, observe)
        finally:
            self._telemetry.in_flight.dec()
            request_id.reset(token)
            route = getattr(scope.get("route"), "path", NO_ROUTE)
            self._telemetry.settled(outer["method"], route, status, perf_counter() - started)


class RequestLog:
    """Each X-Request-Id, one line and one O_APPEND write, before the answer: survives kill -9."""

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def append(self, scope: Scope) -> None:
        """A request without an id (a probe, say) leaves no line. A failed write fails the request:
        a log with holes would be read as truth."""
        for name, value in scope["headers"]:
            if name == b"x-request-id":
                os.write(self._fd, value[:REQUEST_ID_MAX_BYTES] + b"\n")
                return


def _request_id(scope: Scope) -> str:
    given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
    return given.decode() if REQUEST_ID.fullmatch(given) else secrets.token_hex(16)


def _content_length(scope: Scope) -> int:
    """0 without the header. The server has refused a value that is no number."""
    given = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
    return int(given) if given.isdigit() else 0


async def _slow(path: str) -> None:
    try:
        with open(path, encoding="ascii") as file:
            delay_ms = int(file.read(32))
    except (OSError, ValueError):  # absent, or caught half-written: not slow
        return
    if delay_ms > 0:
        await asyncio.sleep(min(delay_ms, SLOW_MAX_MS) / 1000)
