"""Traces, with the packages of requirements-otel.txt and a collector that listens to OTLP/HTTP."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.conftest import APP_DIR, StartRegion


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Installs the packages in a folder of their own: the tests' environment lacks them."""
    folder: Path = tmp_path_factory.mktemp("otel")
    words = ["--no-deps", "--only-binary", ":all:", "--require-hashes", "--retries", "1"]
    words += ["--target", str(folder), "-r", str(APP_DIR / "requirements-otel.txt")]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    installed = subprocess.run([*pip, *words], capture_output=True, text=True)
    if installed.returncode != 0:
        pytest.skip("requirements-otel.txt: pip could not install it")
    return str(folder)


class Collector:
    """Keeps the bodies that are sent to it. Protobuf holds text as it is."""

    def __init__(self) -> None:
        self.received: list[tuple[str, bytes]] = []
        kept = self.received

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                kept.append((self.path, body))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"


@pytest.fixture
def collector() -> Iterator[Collector]:
    found = Collector()
    serving = threading.Thread(target=found.server.serve_forever)
    serving.start()
    yield found
    found.server.shutdown()
    serving.join()
    found.server.server_close()


def environment(packages: str, url: str) -> dict[str, str]:
    """Nothing is sent before the end: a batch would wait for a minute."""
    sending = {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_BSP_SCHEDULE_DELAY": "60000"}
    return {"PYTHONPATH": packages} | sending


@pytest.mark.parametrize(
    ("env", "name"),
    [
        ({}, b"thalweg-app"),
        ({"OTEL_SERVICE_NAME": "shop"}, b"shop"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=kiosk"}, b"kiosk"),
    ],
)
def test_the_last_spans_are_sent_before_the_end(
    start_region: StartRegion, packages: str, collector: Collector, env: dict[str, str], name: bytes
) -> None:
    region = start_region(**environment(packages, collector.url), **env, REGION="us-east-1")
    assert region.client.get("/hello").status_code == 200
    assert not collector.received
    region.process.send_signal(signal.SIGTERM)
    assert region.process.wait(timeout=10) in (0, -signal.SIGTERM)
    assert {path for path, _ in collector.received} == {"/v1/traces"}
    sent = b"".join(body for _, body in collector.received)
    assert b"GET /hello" in sent and b"us-east-1" in sent and b"/alive" not in sent
    assert name in sent and (b"thalweg-app" in sent) == (name == b"thalweg-app")


def test_a_collector_that_is_silent_does_not_hold_up_the_end(
    start_region: StartRegion, packages: str
) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        region = start_region(**environment(packages, url))
        region.client.get("/hello")
        began = time.monotonic()
        region.process.send_signal(signal.SIGTERM)
        assert region.process.wait(timeout=20) in (0, -signal.SIGTERM)
        assert time.monotonic() - began < 6
    assert '"stopped"' in region.log.read_text()
