"""A real edge in front of real regions, for the checks that watch: starts, kills, revives, and always cleans up.

Everything it starts is ended by its own pid. It never waits a fixed time: `until` asks again until a deadline.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import random
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import TypeVar

from conftest import ROOT, skip_loudly

PLACES = (("aws", "us-east-1"), ("gcp", "europe-west1"), ("azure", "southeastasia"))
Answer = TypeVar("Answer")

CONFIG = """version = 1
[edge]
name = "watched"
region = "us-east-1"
cloud = "aws"
workers = 1
drain_timeout = "1s"
[admin]
bind = "127.0.0.1:{admin}"
[[listener]]
name = "web"
bind = "127.0.0.1:{web}"
[[listener]]
name = "secure"
bind = "127.0.0.1:{secure}"
[listener.tls]
certificates = [{{ cert = "site.crt", key = "site.key" }}]
[probe.fastapi]
path = "/health"
interval = "500ms"
expect_json = {{ status = ["ok", "degraded"] }}
{pools}
[route.all]
policy = "failover"
pools = [{names}]
retry = {{ attempts = 2, budget = 0.0 }}
failback = {{ mode = "hold", hold = "1s" }}
"""


def until(what: str, ask: Callable[[], Answer | None], deadline_s: float = 30) -> Answer:
    """The first true answer; raises with what was waited for when the deadline passes."""
    end = time.monotonic() + deadline_s
    while time.monotonic() < end:
        with contextlib.suppress(OSError, ValueError):
            if answer := ask():
                return answer
        time.sleep(0.1)
    raise AssertionError(f"not within {deadline_s:.0f} s: {what}")


def get(url: str) -> tuple[int, str]:
    """Status and text of one GET; an error status is an answer."""
    try:
        with urllib.request.urlopen(url, timeout=3) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode()


def free_ports(count: int) -> list[int]:
    """Ports below the range of outgoing connections, so that a dead region's port stays free."""
    found: list[int] = []
    for port in random.sample(range(20000, 32000), 2000):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found.append(port)
        if len(found) == count:
            return found
    raise AssertionError("no free ports")


def edge_binary() -> pathlib.Path:
    """$THALWEG_BIN, else what cargo built here; a loud skip if there is neither."""
    places = [
        os.environ.get("THALWEG_BIN"),
        ROOT / "target/release/thalweg",
        ROOT / "target/debug/thalweg",
    ]
    for place in filter(None, places):
        if os.access(place, os.X_OK):
            return pathlib.Path(place)
    skip_loudly("thalweg", "no edge: set THALWEG_BIN or `cargo build --release -p thalweg-edge`")
    raise AssertionError


def app_python() -> pathlib.Path:
    python = ROOT / ".venv/bin/python"
    if not python.exists():
        skip_loudly("uvicorn", "no .venv: `make setup`")
    return python


class Processes:
    """Children that end when the block does, last started first."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, *command: object, cwd: pathlib.Path = ROOT, **env: str) -> None:
        with open(self.folder / f"{name}.log", "ab") as log:
            self._running[name] = subprocess.Popen(
                [str(part) for part in command],
                cwd=cwd,
                env={**os.environ, **env},
                stdout=log,
                stderr=log,
            )

    def kill(self, name: str, how: int = signal.SIGKILL) -> None:
        child = self._running.pop(name)
        child.send_signal(how)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(timeout=5)
            return
        child.kill()
        child.wait(timeout=5)

    def pid(self, name: str) -> int:
        return self._running[name].pid

    def end(self) -> None:
        for name in reversed(list(self._running)):
            self.kill(name, signal.SIGTERM)


class World:
    """One edge, three regions."""

    def __init__(self, processes: Processes) -> None:
        self.processes = processes
        self.admin, self.web, self.secure, *ports = free_ports(3 + len(PLACES))
        self.regions = dict(zip(PLACES, ports, strict=True))

    def start_region(self, cloud: str, region: str) -> None:
        port = self.regions[cloud, region]
        command = (
            app_python(),
            "-m",
            "uvicorn",
            "app.main:app",
            "--host",
            "127.0.0.1",
            "--port",
            port,
        )
        place = {"CLOUD": cloud, "REGION": region, "INSTANCE": f"{region}-1"}
        fail_file = str(self.processes.folder / f"{region}.fail")
        self.processes.start(
            region, *command, cwd=ROOT / "app", HEALTH_CHECK_FAIL_FILE=fail_file, **place
        )

    def start_edge(self) -> None:
        folder = self.processes.folder
        pools = "\n".join(
            f'[pool.{cloud}-{region}]\ncloud = "{cloud}"\nregion = "{region}"\nprobe = "fastapi"\n'
            f'endpoints = [{{ address = "127.0.0.1:{port}" }}]'
            for (cloud, region), port in self.regions.items()
        )
        names = ", ".join(f'{{ pool = "{cloud}-{region}" }}' for cloud, region in self.regions)
        config = folder / "thalweg.toml"
        ports = {"admin": self.admin, "web": self.web, "secure": self.secure}
        config.write_text(CONFIG.format(pools=pools, names=names, **ports))
        names = ("-addext", "subjectAltName=DNS:watched.example.com,IP:127.0.0.1")
        subject = ("-subj", "/CN=watched", *names, "-days", "30", "-nodes", "-keyout", folder / "site.key")
        make = (
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            *subject,
            "-out",
            folder / "site.crt",
        )
        subprocess.run([str(part) for part in make], check=True, capture_output=True)
        self.processes.start("edge", edge_binary(), "run", "--config", config)

    def start(self) -> None:
        for place in self.regions:
            self.start_region(*place)
        for (_, region), port in self.regions.items():
            until(
                f"{region} answers",
                lambda port=port: get(f"http://127.0.0.1:{port}/alive")[0] == 200,
            )
        self.start_edge()
        # Up, not merely Unproven: leaving an endpoint that never proved itself is no failover.
        until("every endpoint is Up", lambda: self.up() == len(PLACES))

    def metrics(self) -> str:
        return get(f"http://127.0.0.1:{self.admin}/metrics")[1]

    def up(self) -> int:
        lines = self.metrics().splitlines()
        return sum(
            line.endswith("} 1") for line in lines if line.startswith("thalweg_endpoint_available{")
        )


@contextlib.contextmanager
def world(folder: pathlib.Path) -> Iterator[World]:
    """A running world; all of it ends with the block."""
    processes = Processes(folder)
    try:
        watched = World(processes)
        watched.start()
        yield watched
    finally:
        processes.end()
