"""The dashboards drawn from a real run: an edge and three regions under load, one of which is killed and revived.

`THALWEG_BLESS=1` keeps the pictures in docs/dashboards. They are drawn by render.py, not by Grafana.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import pathlib
import re
import signal
import sys
import threading
import time

import pytest
from conftest import INFRA, ROOT, find_tool
from monitored import free_ports, get, until, world
from test_alerting_live import write_prometheus
from test_dashboards import NAMES, panels

sys.path.insert(0, str(INFRA / "monitoring/dashboards"))
import render  # noqa: E402

PICTURES = ROOT / "docs/dashboards"
# What only a cluster, or a longer life than this run's, has an answer to.
ELSEWHERE = {"Autoscalers: pods of their maximum", "Answers made by the edge", "Refused requests by why"}
SPAN_S = 120


@pytest.mark.parametrize("name", NAMES)
def test_pictures_show_every_panel(name: str, counted) -> None:
    """The kept picture of a dashboard has each of its panels, and says what it is"""
    drawn = (PICTURES / f"{name}.svg").read_text()
    missing = [panel["title"] for panel in panels(name) if f">{render.html.escape(panel['title'])}<" not in drawn]
    assert not missing, f"{missing}: THALWEG_BLESS=1 make test-infra ONLY=test_dashboards_drawn.py"
    assert render.NOT_GRAFANA in drawn
    assert f"(dashboards/{name}.svg)" in (ROOT / "docs/monitoring.md").read_text()
    counted("panels", len(panels(name)))


def ask(port: int, over: threading.Event) -> None:
    """Up to twenty requests a second, one in thirty for a page that is not there."""
    number = 0
    while not over.is_set():
        number += 1
        # An answer that the kill cuts in the middle is part of the picture.
        with contextlib.suppress(OSError, http.client.HTTPException):
            get(f"http://127.0.0.1:{port}/{'nothing' if number % 30 == 0 else 'hello'}")
        time.sleep(0.05)


def empty(svg: str) -> list[str]:
    """Titles of the panels that were drawn without data."""
    drawn = re.findall(r"<g [^>]*>(.*?)</g>", svg, re.DOTALL)
    return [render.html.unescape(re.search(r'font-weight="bold">([^<]+)<', body)[1]) for body in drawn if ">no data<" in body]


@pytest.mark.slow
def test_every_panel_shows_something(tmp_path: pathlib.Path, counted) -> None:
    """Under load, with a region killed and revived, every panel that needs no cluster has data, and the failover is a mark"""
    over = threading.Event()
    with world(tmp_path) as watched:
        (prometheus,) = free_ports(1)
        write_prometheus(tmp_path, watched, free_ports(1)[0])
        watched.processes.start(
            "prometheus",
            find_tool("prometheus"),
            f"--config.file={tmp_path}/prometheus.yml",
            f"--storage.tsdb.path={tmp_path}/data",
            f"--web.listen-address=127.0.0.1:{prometheus}",
            "--enable-feature=expand-external-labels",
            cwd=tmp_path,
            CLUSTER="here",
        )
        until("Prometheus is ready", lambda: get(f"http://127.0.0.1:{prometheus}/-/ready")[0] == 200)
        asking = [threading.Thread(target=ask, args=(watched.web, over), daemon=True) for _ in range(4)]
        for one in asking:
            one.start()
        began = time.monotonic()

        def until_second(seconds: float) -> None:
            time.sleep(max(0.0, began + seconds - time.monotonic()))

        # The run itself is what is shown: these waits are its length.
        until_second(70)
        # While it is frozen requests wait there; those that it did not answer are tried elsewhere when it is killed.
        os.kill(watched.processes.pid("us-east-1"), signal.SIGSTOP)
        until_second(70.2)
        watched.processes.kill("us-east-1")
        until_second(100)
        watched.start_region("aws", "us-east-1")
        until_second(SPAN_S + 5)
        pictures = render.drawn(f"http://127.0.0.1:{prometheus}", SPAN_S)
        over.set()
        for one in asking:
            one.join(timeout=5)
    assert set(pictures) == set(NAMES)
    without = {title for svg in pictures.values() for title in empty(svg)}
    assert without <= ELSEWHERE, without - ELSEWHERE
    # The run was 5 s old when what is shown begins, and the region was killed when it was 70 s old.
    marks = re.findall(r"(\d+) s: Failover of all: aws-us-east-1 to gcp-europe-west1", pictures["operations"])
    assert any(60 <= int(second) <= 75 for second in marks), marks
    if os.environ.get("THALWEG_BLESS"):
        PICTURES.mkdir(exist_ok=True)
        for name, svg in pictures.items():
            (PICTURES / f"{name}.svg").write_text(svg)
    counted("panels", sum(len(panels(name)) for name in NAMES))
