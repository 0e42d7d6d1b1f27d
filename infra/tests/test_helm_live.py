"""A real edge on the rendered configuration: starts, reloads a swapped volume, guards orders."""

from __future__ import annotations

import json
import pathlib
import re
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from edge import find_edge
from k8s import one, render, values_of

TOKEN = "only-for-this-check"


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def until(what: str, condition: Callable[[], Any], seconds: float = 10) -> Any:
    """The first true value of the condition; fails when it takes too long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s: {what}")


class Volume:
    """A ConfigMap's volume as the kubelet makes it: a new folder, then one link swapped."""

    def __init__(self, folder: pathlib.Path, admin_port: int) -> None:
        self.folder, self.admin_port, self.version = folder, admin_port, 0
        folder.mkdir()
        (folder.parent / "token").write_text(TOKEN, encoding="utf-8")

    def write(self, config: str) -> None:
        config = config.replace("0.0.0.0:9900", f"127.0.0.1:{self.admin_port}")
        config = re.sub(r"0\.0\.0\.0:\d+", "127.0.0.1:0", config)
        config = config.replace("/etc/thalweg-admin/token", str(self.folder.parent / "token"))
        self.version += 1
        fresh = self.folder / f"..{self.version}"
        fresh.mkdir()
        (fresh / "thalweg.toml").write_text(config, encoding="utf-8")
        (self.folder / "..next").symlink_to(fresh.name)
        (self.folder / "..next").rename(self.folder / "..data")
        if self.version == 1:
            (self.folder / "thalweg.toml").symlink_to("..data/thalweg.toml")


def config(**changes: Any) -> str:
    values = values_of("thalweg-edge", "aws", "dev") | {"secretName": "admin"}
    values["config"] |= changes
    return one(render("thalweg-edge", values), "ConfigMap")["data"]["thalweg.toml"]


@pytest.fixture
def volume(tmp_path: pathlib.Path) -> Iterator[Volume]:
    """A running edge, and the volume that its configuration comes from."""
    volume = Volume(tmp_path / "thalweg", free_port())
    volume.write(config())
    command = [find_edge(), "run", "--config", volume.folder / "thalweg.toml"]
    with open(tmp_path / "log", "w", encoding="utf-8") as log:
        edge = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            yield volume
            assert edge.poll() is None, (tmp_path / "log").read_text()
        finally:
            edge.kill()
            edge.wait()


def ask(port: int, path: str, **request: Any) -> tuple[int, Any]:
    """(status, body as JSON if it is JSON); (0, None) where nothing listens."""
    try:
        url = urllib.request.Request(f"http://127.0.0.1:{port}{path}", **request)
        with urllib.request.urlopen(url, timeout=2) as answer:
            status, body = answer.status, answer.read()
    except urllib.error.HTTPError as answer:
        status, body = answer.code, answer.read()
    except OSError:
        return 0, None
    try:
        return status, json.loads(body)
    except ValueError:
        return status, None


def test_edge_reloads_what_kubernetes_swaps_in(volume):
    """A real edge takes a swapped ConfigMap without a restart, and keeps out a bad one."""
    port = volume.admin_port
    until("alive", lambda: ask(port, "/livez")[0] == 200)

    def status() -> Any:
        return ask(port, "/api/v1/status")[1]

    assert status()["generation"] == 1
    volume.write(config(limits={"header_count": 50}))
    until("generation 2", lambda: status()["generation"] == 2)
    volume.write("version = 1\n[nonsense]\n")
    until("a rejection", lambda: status()["last_reload"]["result"] == "rejected")
    assert status()["generation"] == 2 and ask(port, "/livez")[0] == 200


def test_edge_takes_orders_with_the_token_only(volume):
    """A real edge with the Secret's token refuses an order without it, on loopback too."""
    port = volume.admin_port
    until("alive", lambda: ask(port, "/livez")[0] == 200)
    assert ask(port, "/api/v1/reload", method="POST")[0] == 401
    headers = {"Authorization": f"Bearer {TOKEN}"}
    assert ask(port, "/api/v1/reload", method="POST", headers=headers)[0] == 200
