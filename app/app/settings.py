"""What the environment says, read once at start and parsed into types.

Never read again while serving: only the files named here (fail, slow) are looked at per request.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass

TRUE = frozenset({"1", "true", "yes", "on"})


@dataclass(frozen=True, slots=True)
class Settings:
    """One process's place in the world, its dependencies and its test hooks."""

    cloud: str = "local"
    region: str = "local"
    instance: str = "local"
    health_fail: bool = False
    health_fail_file: str | None = None
    health_weight: bool = False
    database_url: str | None = None
    redis_url: str | None = None
    dependency_timeout_s: float = 0.5
    request_log: str | None = None
    slow_file: str | None = None

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> Settings:
        """An empty variable counts as unset, as it does in a chart's defaults."""

        def text(name: str) -> str | None:
            return env.get(name, "").strip() or None

        return cls(
            cloud=text("CLOUD") or "local",
            region=text("REGION") or "local",
            instance=text("INSTANCE") or socket.gethostname(),
            health_fail=(text("HEALTH_CHECK_FAIL") or "").lower() in TRUE,
            health_fail_file=text("HEALTH_CHECK_FAIL_FILE"),
            health_weight=(text("HEALTH_WEIGHT") or "").lower() in TRUE,
            database_url=text("DATABASE_URL"),
            redis_url=text("REDIS_URL"),
            request_log=text("REQUEST_LOG"),
            slow_file=text("SLOW_FILE"),
        )
