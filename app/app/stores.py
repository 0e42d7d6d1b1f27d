"""The two stores of a region, PostgreSQL and Redis: connections, bounds, what went wrong in a word.

Both are optional, and either may die and come back: nothing here fails at start, waits without a
bound, or prints a URL (it may hold a password).
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import asyncpg
import redis.asyncio as redis
from redis.exceptions import RedisError
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from app.logs import event

T = TypeVar("T")

CONNECT_S = 1.0
STATEMENT_S = 2.0
POOL_WAIT_S = 1.0
READ_ATTEMPTS = 3
CACHE_S = 0.2
CACHE_CONNECTIONS = 20
CACHE_TTL_S = 60
# A failed cache is not asked for this long: else every request would wait for its timeout.
CACHE_PAUSE_S = 1.0
UNDROPPED_MAX = 10_000
SCHEMA_LOCK = 7_241_869
SCHEMA = """
CREATE TABLE IF NOT EXISTS notes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    text text NOT NULL CHECK (length(text) BETWEEN 1 AND 2000),
    region text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
)
"""


class StoreError(Exception):
    """The database cannot be used now; `str()` is one word for logs and metrics."""


def word_for(error: BaseException) -> str:
    """What an operator can act on: timeout, refused, unreachable, or the kind of error."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, (TimeoutError, PoolTimeout, redis.TimeoutError)):
            return "timeout"
        if isinstance(seen, ConnectionRefusedError):
            return "refused"
        if isinstance(seen, (asyncpg.PostgresError, asyncpg.InterfaceError)):
            return type(seen).__name__
        if isinstance(seen, OSError):
            return "unreachable"
        seen = getattr(seen, "orig", None) or seen.__cause__ or seen.__context__
    # redis-py keeps the kernel's error only as text.
    if "refused" in str(error).lower():
        return "refused"
    return "unreachable" if isinstance(error, redis.ConnectionError) else type(error).__name__


class Database:
    """A pool of connections whose every wait is bounded."""

    def __init__(self, url: str) -> None:
        self._engine = _engine(url)
        self._prepared = False

    async def close(self) -> None:
        if self._engine is not None:
            await self._engine.dispose()

    async def ping(self, timeout_s: float) -> str:
        """ "ok", or what is wrong."""
        if self._engine is None:
            return "invalid url"
        try:
            async with asyncio.timeout(timeout_s), self._engine.connect() as connection:
                await connection.execute(text("SELECT 1"))
        except (SQLAlchemyError, OSError, TimeoutError, asyncpg.PostgresError) as error:
            return word_for(error)
        return "ok"

    async def prepare(self) -> None:
        """Makes the schema; tries until the database answers. Two at once do not clash."""
        pause_s = 0.1
        while not self._prepared:
            try:
                await self.write(_make_schema)
                self._prepared = True
            except StoreError as error:
                event(logging.WARNING, "schema not made yet", reason=str(error))
                await asyncio.sleep(pause_s * (0.5 + random.random()))
                pause_s = min(pause_s * 2, 5.0)

    async def read(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Reads; tries again where the connection failed, with a short random wait."""
        for attempt in range(READ_ATTEMPTS):
            try:
                return await self._run(work)
            except StoreError:
                if attempt + 1 == READ_ATTEMPTS:
                    raise
                await asyncio.sleep(random.random() * 0.05 * 2**attempt)
        raise AssertionError("unreachable")

    async def write(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Writes in one transaction, once: a write whose answer was lost may have been done."""
        return await self._run(work)

    async def _run(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        if self._engine is None:
            raise StoreError("invalid url")
        try:
            async with (
                asyncio.timeout(STATEMENT_S + POOL_WAIT_S),
                self._engine.begin() as connection,
            ):
                return await work(connection)
        except (DBAPIError, InterfaceError, PoolTimeout, OSError, TimeoutError) as error:
            raise StoreError(word_for(error)) from error
        except asyncpg.PostgresError as error:  # while connecting
            raise StoreError(word_for(error)) from error


async def _make_schema(connection: AsyncConnection) -> None:
    await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": SCHEMA_LOCK})
    await connection.execute(text(SCHEMA))


def _engine(url: str) -> AsyncEngine | None:
    try:
        parts = make_url(url)
    except (ArgumentError, ValueError):
        return None
    if parts.drivername.partition("+")[0] not in {"postgres", "postgresql"} or not parts.host:
        return None
    if parts.port is not None and not 0 < parts.port < 65536:
        return None
    return create_async_engine(
        parts.set(drivername="postgresql+asyncpg"),
        pool_size=10,
        max_overflow=10,
        pool_timeout=POOL_WAIT_S,
        pool_recycle=300,
        pool_pre_ping=True,
        connect_args={
            "timeout": CONNECT_S,
            "command_timeout": STATEMENT_S,
            "server_settings": {
                "application_name": "thalweg-app",
                "statement_timeout": str(int(STATEMENT_S * 1000)),
            },
        },
    )


class Cache:
    """Redis as a cache: an answer helps, a failure fails no request.

    A drop that does not reach Redis is remembered: its key is not read here any more, and Redis is
    told every second until it has heard. Other instances may read it until then, or until its TTL.
    """

    def __init__(self, url: str) -> None:
        self._paused_until = 0.0
        self._undropped: set[str] = set()
        self._dropping: asyncio.Task[None] | None = None
        try:
            pool = redis.BlockingConnectionPool.from_url(
                url,
                max_connections=CACHE_CONNECTIONS,
                timeout=CACHE_S,
                socket_timeout=CACHE_S,
                socket_connect_timeout=CACHE_S,
            )
            self._redis: redis.Redis | None = redis.Redis.from_pool(pool)
        except ValueError:
            self._redis = None

    async def close(self) -> None:
        if self._dropping is not None:
            self._dropping.cancel()
        if self._redis is not None:
            await self._redis.aclose()

    async def ping(self, timeout_s: float) -> str:
        """ "ok", or what is wrong."""
        if self._redis is None:
            return "invalid url"
        try:
            async with asyncio.timeout(timeout_s):
                await self._redis.ping()
        except (RedisError, OSError, TimeoutError) as error:
            return word_for(error)
        return "ok"

    async def get(self, key: str) -> tuple[Any, str]:
        """The value or None, and how it went: hit, miss, error, full, or skipped."""
        if key in self._undropped:
            return None, "skipped"
        found, went = await self._try(lambda client: client.get(key))
        if found is None:
            return None, went
        try:
            return json.loads(found), "hit"
        except ValueError:
            return None, "error"

    async def put(self, key: str, value: Any) -> None:
        await self._try(lambda client: client.set(key, json.dumps(value), ex=CACHE_TTL_S))

    async def drop(self, key: str) -> None:
        """From now on `get` does not find the key, even if Redis could not be told."""
        if self._redis is None or await self._dropped(key):
            return
        if len(self._undropped) >= UNDROPPED_MAX:
            # Too many keys to remember. What Redis holds of them ends with its TTL.
            self._undropped.clear()
            self._pause(CACHE_TTL_S)
        self._undropped.add(key)
        if self._dropping is None or self._dropping.done():
            self._dropping = asyncio.create_task(self._drop_later())

    async def _drop_later(self) -> None:
        while self._undropped:
            await asyncio.sleep(CACHE_PAUSE_S)
            keys = tuple(self._undropped)
            if await self._dropped(*keys):
                self._undropped.difference_update(keys)

    async def _dropped(self, *keys: str) -> bool:
        count, _ = await self._try(lambda client: client.delete(*keys))
        return count is not None

    def _pause(self, seconds: float) -> None:
        self._paused_until = max(self._paused_until, time.monotonic() + seconds)

    async def _try(self, work: Callable[[redis.Redis], Awaitable[T]]) -> tuple[T | None, str]:
        if self._redis is None or time.monotonic() < self._paused_until:
            return None, "skipped"
        try:
            # A connection becomes free, is made, answers: each has its own bound, this is of all.
            async with asyncio.timeout(3 * CACHE_S):
                return await work(self._redis), "miss"
        except (RedisError, OSError, TimeoutError) as error:
            if _none_free(error):
                return None, "full"
            self._pause(CACHE_PAUSE_S)
            event(logging.WARNING, "cache failed", reason=word_for(error))
            return None, "error"


def _none_free(error: BaseException) -> bool:
    """Whether the pool gave up waiting; a connection that is slow is a `redis.TimeoutError`."""
    return isinstance(error, redis.ConnectionError) and isinstance(error.__cause__, TimeoutError)
