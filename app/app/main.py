"""The endpoints. `create_app` builds one application; `app` is what a server imports.

Serve with `uvicorn app.main:app`, one worker per process: the meters of `/metrics` are this
process's own.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Literal

from fastapi import FastAPI, Path, Query, Request, WebSocket, WebSocketDisconnect
from fastapi.exceptions import RequestValidationError
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel
from starlette.responses import JSONResponse, Response, StreamingResponse

from app import __version__
from app.logs import configure, event, request_id
from app.middleware import Around, BodyTooLarge
from app.notes import Notes, router
from app.readiness import Readiness, verdict
from app.settings import Settings
from app.stores import Cache, Database
from app.streams import EchoResponse, chunks, events
from app.telemetry import Telemetry
from app.tracing import trace

BYTES_MAX = 1 << 30


class Identity(BaseModel):
    """The cloud, region and instance that answered."""

    message: str
    cloud: str
    region: str
    instance: str


class Health(BaseModel):
    """What an edge's probe reads; `degraded` has a weight, where one is asked for."""

    status: Literal["ok", "degraded", "unhealthy"]
    weight: int | None = None


class Ready(BaseModel):
    """Whether the configured dependencies can be used."""

    status: Literal["ready", "degraded", "unavailable"]
    dependencies: dict[str, str]


def create_app(settings: Settings) -> FastAPI:
    """One application for these settings; it shares nothing with another in the same process."""
    telemetry = Telemetry(settings)
    database = Database(settings.database_url) if settings.database_url else None
    cache = Cache(settings.redis_url) if settings.redis_url else None
    stores: dict[str, Database | Cache] = {}
    if database is not None:
        stores["database"] = database
    if cache is not None:
        stores["redis"] = cache

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        who = {"cloud": settings.cloud, "region": settings.region, "instance": settings.instance}
        event(logging.INFO, "started", version=__version__, **who)
        preparing = asyncio.create_task(database.prepare()) if database is not None else None
        yield
        # The server has answered every request by now.
        if preparing is not None:
            preparing.cancel()
        for store in stores.values():
            await store.close()
        if end_tracing is not None:
            await end_tracing()
        event(logging.INFO, "stopped", **who)

    app = FastAPI(title="Thalweg region", version=__version__, lifespan=lifespan)
    app.add_middleware(Around, settings=settings, telemetry=telemetry)
    app.add_exception_handler(RequestValidationError, _refuse)
    app.add_exception_handler(BodyTooLarge, _too_large)
    _add_identity(app, settings)
    _add_health(app, settings, telemetry, stores)
    _add_streams(app)
    app.include_router(router(Notes(settings, telemetry, database, cache) if database else None))
    end_tracing = trace(app, settings)
    return app


async def _refuse(_: Request, error: Exception) -> Response:
    """What is wrong and where, without the input: it may be a secret, or no text at all."""
    assert isinstance(error, RequestValidationError)
    found = [{"loc": e["loc"], "msg": e["msg"], "type": e["type"]} for e in error.errors()]
    return JSONResponse({"detail": found}, 422)


async def _too_large(_: Request, error: Exception) -> Response:
    assert isinstance(error, BodyTooLarge)
    body = {"error": "too_large", "detail": error.detail, "request_id": request_id.get()}
    return JSONResponse(body, error.status_code)


def _add_identity(app: FastAPI, settings: Settings) -> None:
    who = {"cloud": settings.cloud, "region": settings.region, "instance": settings.instance}
    root = {"message": f"Hello from {settings.region} on {settings.cloud}"} | who
    hello = {"message": "Hello, world"} | who

    @app.get("/", response_model=Identity)
    async def get_root() -> Response:
        return JSONResponse(root)

    @app.get("/hello", response_model=Identity)
    async def get_hello() -> Response:
        return JSONResponse(hello)


def _add_health(
    app: FastAPI, settings: Settings, telemetry: Telemetry, stores: dict[str, Database | Cache]
) -> None:
    readiness = Readiness(settings.dependency_timeout_s, telemetry, stores)
    fail_file = settings.health_fail_file

    def failing() -> bool:
        return settings.health_fail or (fail_file is not None and os.path.exists(fail_file))

    # Set at the scrape, so that /metrics is right without a call of /health.
    telemetry.healthy.set_function(lambda: 0 if failing() else 1)

    @app.get("/health", response_model=Health, responses={503: {"model": Health}})
    async def get_health() -> Response:
        if failing():
            return JSONResponse({"status": "unhealthy"}, 503)
        weight = readiness.weight() if settings.health_weight else 100
        if weight < 100:
            return JSONResponse({"status": "degraded", "weight": weight})
        return JSONResponse({"status": "ok"})

    @app.get("/ready", response_model=Ready, responses={503: {"model": Ready}})
    async def get_ready() -> Response:
        dependencies = await readiness.check()
        status, code = verdict(dependencies)
        if status != "ready":
            event(
                logging.WARNING,
                status,
                **{k: why for k, why in dependencies.items() if why != "ok"},
            )
        return JSONResponse({"status": status, "dependencies": dependencies}, code)

    @app.get("/alive")
    async def get_alive() -> Response:
        return JSONResponse({"status": "alive"})

    @app.get("/metrics", response_class=Response)
    async def get_metrics() -> Response:
        return Response(
            generate_latest(telemetry.registry), headers={"content-type": CONTENT_TYPE_LATEST}
        )


def _add_streams(app: FastAPI) -> None:
    @app.post("/echo", response_class=Response)
    async def post_echo(request: Request) -> Response:
        return EchoResponse(request.headers.get("content-type", "application/octet-stream"))

    @app.get("/bytes/{size}", response_class=StreamingResponse)
    async def get_bytes(
        size: Annotated[int, Path(ge=0, le=BYTES_MAX)], declared: bool = False
    ) -> Response:
        headers = {"content-length": str(size)} if declared else None
        return StreamingResponse(
            chunks(size), headers=headers, media_type="application/octet-stream"
        )

    @app.get("/sse", response_class=StreamingResponse)
    async def get_sse(
        count: Annotated[int, Query(ge=1, le=10_000)] = 5,
        interval_ms: Annotated[int, Query(ge=0, le=60_000)] = 100,
    ) -> Response:
        return StreamingResponse(
            events(count, interval_ms),
            headers={"cache-control": "no-store", "x-accel-buffering": "no"},
            media_type="text/event-stream",
        )

    @app.websocket("/ws")
    async def echo_socket(socket: WebSocket) -> None:
        await socket.accept()
        try:
            while True:
                message = await socket.receive()
                if message["type"] == "websocket.disconnect":
                    return
                if message.get("text") is not None:
                    await socket.send_text(message["text"])
                else:
                    await socket.send_bytes(message["bytes"])
        except WebSocketDisconnect:  # gone between its message and our answer
            return


def _from_environment() -> FastAPI:
    configure()
    return create_app(Settings.from_env())


app = _from_environment()
