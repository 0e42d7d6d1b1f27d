"""Real PostgreSQL and Redis for the tests: on free ports, in folders of their own, ended with them.

A store can be killed, stopped for a while, and started again with its data.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

DEADLINE_S = 20.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def listens(port: int, process: subprocess.Popen[bytes]) -> bool:
    """Waits until the server answers; False when its process has ended instead."""
    deadline = time.monotonic() + DEADLINE_S
    while process.poll() is None:
        assert time.monotonic() < deadline, "the store did not listen in time"
        with socket.socket() as probe:
            probe.settimeout(0.2)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return True
        time.sleep(0.02)
    return False


def children(parent: int) -> list[int]:
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            if int(status.read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(status.parent.name))
    return found


class Store:
    """One server process that can be started again."""

    def __init__(self, command: list[str], port: int, url: str) -> None:
        self.command, self.port, self.url = command, port, url
        self.process: subprocess.Popen[bytes] | None = None
        self.said = tempfile.TemporaryFile()

    def start(self) -> None:
        """Tries again: PostgreSQL does not start while a child of the one that was killed lives."""
        deadline = time.monotonic() + DEADLINE_S
        while True:
            self.process = subprocess.Popen(self.command, stdout=self.said, stderr=self.said)
            if listens(self.port, self.process):
                return
            assert time.monotonic() < deadline, f"it ended before it listened: {self.last_words()}"
            time.sleep(0.1)

    def last_words(self) -> str:
        """The end of what the server has printed; the next one writes behind it."""
        end = self.said.seek(0, os.SEEK_END)
        self.said.seek(max(0, end - 500))
        return self.said.read().decode(errors="replace")

    def signal(self, number: signal.Signals) -> None:
        """To the server and to the processes that it has started."""
        assert self.process is not None
        for pid in [self.process.pid, *children(self.process.pid)]:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGKILL)
            self.process.wait()


@contextmanager
def running(store: Store) -> Iterator[Store]:
    store.start()
    try:
        yield store
    finally:
        store.kill()
        store.said.close()


def postgres_folder() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        pytest.skip("postgresql: not installed")
    return found[-1].parent


@contextmanager
def postgres(folder: Path) -> Iterator[Store]:
    """PostgreSQL refuses to run as root: root lends it to `postgres`."""
    programs = postgres_folder()
    data = folder / "postgres"
    data.mkdir()
    lend: list[str] = []
    if os.geteuid() == 0:
        user = pwd.getpwnam("postgres")
        os.chown(data, user.pw_uid, user.pw_gid)
        for parent in data.parents:
            if parent.stat().st_uid == 0 and not parent.stat().st_mode & 0o001:
                parent.chmod(parent.stat().st_mode | 0o011)
        ids = ["--reuid", str(user.pw_uid), "--regid", str(user.pw_gid), "--clear-groups"]
        lend = ["setpriv", *ids]
    make = [
        str(programs / "initdb"),
        "-D",
        str(data),
        "-U",
        "notes",
        "-A",
        "trust",
        "--no-sync",
        "-E",
        "UTF8",
    ]
    subprocess.run([*lend, *make], check=True, stdout=subprocess.DEVNULL, cwd="/")
    port = free_port()
    settings = {
        "port": port,
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "fsync": "off",
    }
    words = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
    command = [*lend, str(programs / "postgres"), "-D", str(data), *words]
    url = f"postgresql://notes@127.0.0.1:{port}/postgres"
    with running(Store(command, port, url)) as store:
        yield store


@contextmanager
def redis(folder: Path) -> Iterator[Store]:
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server: not installed")
    port = free_port()
    words = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    with running(Store([program, *words], port, f"redis://127.0.0.1:{port}/0")) as store:
        yield store
