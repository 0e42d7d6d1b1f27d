"""A region: the real uvicorn, as `make run` starts it, on a port of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

APP_DIR = Path(__file__).resolve().parents[1]
START_DEADLINE_S = 20.0


@dataclass(frozen=True)
class Region:
    """A running server and a client for it."""

    port: int
    process: subprocess.Popen[bytes]
    client: httpx.Client
    log: Path


StartRegion = Callable[..., Region]


@pytest.fixture
def start_region(tmp_path: Path) -> Iterator[StartRegion]:
    """Starts regions with the given arguments and environment; ends all of them with the test."""
    with ExitStack() as stack:
        yield lambda *arguments, **env: stack.enter_context(
            running_region(env, tmp_path / "region.log", *arguments)
        )


@pytest.fixture
def free_port() -> int:
    """A port where nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """A skip is not silent: `make test` repeats it in its summary."""
    skips = os.environ.get("THALWEG_SKIPS")
    if report.skipped and skips:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        with open(skips, "a", encoding="utf-8") as file:
            file.write(f"{report.nodeid.replace(':', '.')}: {reason}\n")


@contextmanager
def running_region(env: dict[str, str], log: Path, *arguments: str) -> Iterator[Region]:
    # The socket is bound here and handed over, so no other process can take the port in between.
    with socket.socket() as listener, log.open("ab") as log_file:
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        port = listener.getsockname()[1]
        server = [sys.executable, "-m", "uvicorn", "app.main:app"]
        process = subprocess.Popen(
            [*server, *arguments, "--fd", str(listener.fileno())],
            cwd=APP_DIR,
            env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"} | env,
            pass_fds=[listener.fileno()],
            stderr=log_file,
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
            _wait_until_alive(process, client)
            yield Region(port, process, client, log)
    finally:
        process.kill()
        process.wait()


def _wait_until_alive(process: subprocess.Popen[bytes], client: httpx.Client) -> None:
    deadline = time.monotonic() + START_DEADLINE_S
    while True:
        assert process.poll() is None, "the server ended before it answered"
        assert time.monotonic() < deadline, "the server did not answer in time"
        try:
            # The kernel queues the connection from the start; only the answer is waited for.
            if client.get("/alive").status_code == 200:
                return
        except httpx.TransportError:
            continue
