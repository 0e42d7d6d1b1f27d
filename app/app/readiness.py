"""Whether the dependencies that are configured can be used, within a bounded time.

Asks each of them something real (SELECT 1, PING). Never prints a URL, never raises. Callers that
arrive together share one round of checks.
"""

from __future__ import annotations

import asyncio
import time

from app.stores import Cache, Database
from app.telemetry import Telemetry

# A region serves without these, but worse.
OPTIONAL = frozenset({"redis"})
# A region's weight (percent) without the dependency: without the cache, half of its traffic may go
# to other regions; without the database, it gets only what the others cannot take.
WEIGHT_WITHOUT = {"redis": 50, "database": 0}
# A probe must not wait for a store: it gets the last result. A result older than this starts a
# new check.
FRESH_S = 1.0


class Readiness:
    """The verdict of `/ready`: each configured dependency by name, and what is wrong with it."""

    def __init__(
        self,
        timeout_s: float,
        telemetry: Telemetry,
        stores: dict[str, Database | Cache],
    ) -> None:
        self._timeout_s = timeout_s
        self._telemetry = telemetry
        self._stores = stores
        self._round: asyncio.Task[dict[str, str]] | None = None
        self._known: dict[str, str] | None = None
        self._known_at = 0.0

    async def check(self) -> dict[str, str]:
        """Name → "ok" or what is wrong. Bounded by one timeout, however many dependencies."""
        if not self._stores:
            return {}
        if self._round is None or self._round.done():
            self._round = asyncio.create_task(self._check_all())
        # Shielded: a caller that hangs up must not end the round that others wait for.
        return await asyncio.shield(self._round)

    def weight(self) -> int:
        """0 to 100 by what was found last, without waiting; 0 until something was found."""
        if not self._stores:
            return 100
        stale = self._known is None or time.monotonic() - self._known_at > FRESH_S
        if stale and (self._round is None or self._round.done()):
            self._round = asyncio.create_task(self._check_all())
        if self._known is None:
            return 0
        missing = [name for name, why in self._known.items() if why != "ok"]
        return min((WEIGHT_WITHOUT[name] for name in missing), default=100)

    async def _check_all(self) -> dict[str, str]:
        pings = (store.ping(self._timeout_s) for store in self._stores.values())
        verdicts = dict(zip(self._stores, await asyncio.gather(*pings), strict=True))
        for name, verdict in verdicts.items():
            self._telemetry.dependency_up.labels(name).set(verdict == "ok")
        self._known, self._known_at = verdicts, time.monotonic()
        return verdicts


def verdict(dependencies: dict[str, str]) -> tuple[str, int]:
    """The word and the status for what was found."""
    missing = {name for name, why in dependencies.items() if why != "ok"}
    if missing - OPTIONAL:
        return "unavailable", 503
    return ("degraded", 200) if missing else ("ready", 200)
