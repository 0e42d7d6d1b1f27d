"""Whether the dependencies that are configured can be reached, within a bounded time.

Checks that a TCP connection opens, no more: never logs in, never prints a URL (it may hold a
password), never raises. Callers that arrive together share one round of checks.
"""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

from app.settings import Settings

DEFAULT_PORTS = {"postgres": 5432, "postgresql": 5432, "redis": 6379, "rediss": 6379}


class Readiness:
    """The verdict of `/ready`: each configured dependency by name, and what is wrong with it."""

    def __init__(self, settings: Settings) -> None:
        self._timeout_s = settings.dependency_timeout_s
        configured = {"database": settings.database_url, "redis": settings.redis_url}
        self._urls = {name: url for name, url in configured.items() if url}
        self._round: asyncio.Task[dict[str, str]] | None = None

    async def check(self) -> dict[str, str]:
        """Name → "ok" or what is wrong. Bounded by one timeout, however many dependencies."""
        if not self._urls:
            return {}
        if self._round is None or self._round.done():
            self._round = asyncio.create_task(self._check_all())
        # Shielded: a caller that hangs up must not end the round that others wait for.
        return await asyncio.shield(self._round)

    async def _check_all(self) -> dict[str, str]:
        verdicts = await asyncio.gather(
            *(_reach(url, self._timeout_s) for url in self._urls.values())
        )
        return dict(zip(self._urls, verdicts, strict=True))


async def _reach(url: str, timeout_s: float) -> str:
    address = _address(url)
    if address is None:
        return "invalid url"
    try:
        async with asyncio.timeout(timeout_s):
            _, writer = await asyncio.open_connection(*address)
    except TimeoutError:
        return "timeout"
    except ConnectionRefusedError:
        return "refused"
    except OSError:
        return "unreachable"
    # No wait_closed: a peer that is slow to close says nothing about being reachable.
    writer.close()
    return "ok"


def _address(url: str) -> tuple[str, int] | None:
    try:
        parts = urlsplit(url)
        # "postgresql+asyncpg://" names a driver after the plus.
        port = parts.port or DEFAULT_PORTS.get(parts.scheme.partition("+")[0])
    except ValueError:
        return None
    if not parts.hostname or not port:
        return None
    return parts.hostname, port
