"""The cache on a real Redis: many readers at once, and deletions that Redis does not hear of."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from app.stores import CACHE_CONNECTIONS, CACHE_PAUSE_S, Cache
from tests import stores


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[stores.Store]:
    folder: Path = tmp_path_factory.mktemp("redis")
    with stores.redis(folder) as store:
        yield store


def run(server: stores.Store, work: Callable[[Cache], Awaitable[None]]) -> None:
    """Runs on a cache of its own that is closed at the end."""

    async def whole() -> None:
        async with AsyncExitStack() as stack:
            cache = Cache(server.url)
            stack.push_async_callback(cache.close)
            await work(cache)

    asyncio.run(whole())


async def until_heard(server: stores.Store, key: str) -> None:
    """Asks as another instance would."""
    other = Cache(server.url)
    deadline = time.monotonic() + 10
    while (await other.get(key))[1] != "miss":
        assert time.monotonic() < deadline, "Redis was not told"
        await asyncio.sleep(0.05)
    await other.close()


def test_more_readers_than_connections_take_turns(server: stores.Store) -> None:
    async def work(cache: Cache) -> None:
        await cache.put("many", 1)
        answers = await asyncio.gather(*(cache.get("many") for _ in range(300)))
        assert answers == [(1, "hit")] * 300

    run(server, work)


def test_a_full_pool_is_no_reason_for_a_pause(server: stores.Store) -> None:
    async def work(cache: Cache) -> None:
        await cache.put("full", 1)
        assert cache._redis is not None
        pool = cache._redis.connection_pool
        taken = [await pool.get_connection() for _ in range(CACHE_CONNECTIONS)]
        assert await cache.get("full") == (None, "full")
        await cache.drop("full")
        for connection in taken:
            await pool.release(connection)
        assert (await cache.get("other"))[1] == "miss"
        assert await cache.get("full") == (None, "skipped")
        await until_heard(server, "full")

    run(server, work)


@pytest.mark.parametrize("before", ["asked", "paused"])
def test_what_was_dropped_is_not_read_again(server: stores.Store, before: str) -> None:
    async def work(cache: Cache) -> None:
        await cache.put("gone", 1)
        server.signal(signal.SIGSTOP)
        try:
            if before == "paused":
                assert (await cache.get("any"))[1] == "error"
            await cache.drop("gone")
        finally:
            server.signal(signal.SIGCONT)
        await asyncio.sleep(CACHE_PAUSE_S)
        assert (await cache.get("gone"))[0] is None
        await until_heard(server, "gone")
        # Redis has deleted the key, so the key can be used again.
        await cache.put("gone", 2)
        while (await cache.get("gone"))[1] != "hit":
            await asyncio.sleep(0.05)

    run(server, work)


def test_too_many_deleted_keys_skip_the_cache_for_its_ttl(
    server: stores.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.stores.UNDROPPED_MAX", 2)
    monkeypatch.setattr("app.stores.CACHE_TTL_S", 3)

    async def work(cache: Cache) -> None:
        keys = [f"key{number}" for number in range(5)]
        for key in keys:
            await cache.put(key, 1)
        server.signal(signal.SIGSTOP)
        try:
            for key in keys:
                await cache.drop(key)
                assert len(cache._undropped) <= 2
        finally:
            server.signal(signal.SIGCONT)
        deadline = time.monotonic() + 10
        while (await cache.get("other"))[1] == "skipped":
            assert time.monotonic() < deadline, "the cache did not come back"
            assert [(await cache.get(key))[0] for key in keys] == [None] * 5
            await asyncio.sleep(0.05)
        assert [(await cache.get(key))[0] for key in keys] == [None] * 5

    run(server, work)
