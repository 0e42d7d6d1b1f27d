"""The edge's own binary for checks that run it: where it is, how to start and ask one."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator

from conftest import ROOT, skip_loudly

NOBODY = 65532


def find_edge() -> pathlib.Path:
    """THALWEG_BIN, else what cargo built last; a loud skip if there is none."""
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")
    built = [target / profile / "thalweg" for profile in ("release", "debug")]
    built = sorted(
        (path for path in built if path.exists()), key=lambda path: -path.stat().st_mtime
    )
    given = os.environ.get("THALWEG_BIN")
    for path in [pathlib.Path(given)] if given else built:
        if path.exists():
            return path.resolve()
    skip_loudly(
        "thalweg", "the edge is not built: `cargo build -p thalweg-edge`, or THALWEG_BIN=FILE"
    )


def need_root() -> None:
    if os.geteuid() != 0:
        skip_loudly("root", "it mounts and changes the user, which only root can")


def free_port(low: bool = False) -> int:
    """A port nobody listens on; with `low`, one that only a privileged process may bind."""
    for port in range(1023, 600, -1) if low else [0]:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return probe.getsockname()[1]
    raise AssertionError("no port is free")


class Region(http.server.BaseHTTPRequestHandler):
    """Answers every GET as a healthy region does."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = b'{"status":"ok"}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


@contextlib.contextmanager
def region() -> Iterator[int]:
    """A region on this machine; its port."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Region) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def config(web: int, admin: int, endpoint: int) -> str:
    """The packaged config on these ports, so that what is shipped is what runs."""
    text = (ROOT / "infra" / "packaging" / "thalweg.toml").read_text()
    told = {"[::]:8080": f"127.0.0.1:{web}", "127.0.0.1:9900": f"127.0.0.1:{admin}", '"5s"': '"0s"'}
    told |= {
        "192.0.2.10:8000": f"127.0.0.1:{endpoint}",
        "198.51.100.10:8000": f"127.0.0.1:{endpoint}",
    }
    for old, new in told.items():
        assert old in text, f"infra/packaging/thalweg.toml names {old} no more"
        text = text.replace(old, new)
    assert tomllib.loads(text)["version"] == 1
    return text


def get(port: int, path: str, wait_s: float = 15.0) -> tuple[int, str]:
    """Asks until somebody answers; an error status is an answer."""
    deadline = time.monotonic() + wait_s
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def status(port: int) -> dict:
    return json.loads(get(port, "/api/v1/status")[1])


@contextlib.contextmanager
def open_directory() -> Iterator[pathlib.Path]:
    """A temporary directory that every user may enter, unlike pytest's own."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="thalweg-"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def running(*command: object, **env: str) -> Iterator[subprocess.Popen]:
    """A process that ends with the block, whatever happens in it."""
    process = subprocess.Popen(
        [str(part) for part in command], env={**os.environ, **env}, stdout=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait(timeout=10)
