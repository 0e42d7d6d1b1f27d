"""One lost region is one page: two clusters' real Alertmanagers tell a pager, which opens an incident per key.

The copy of the config differs from the original in group waits and in the pager's address, which is a server that this test runs.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import pathlib
import threading
from collections.abc import Iterator
from typing import Any

import yaml
from conftest import find_tool, run
from monitored import Processes, free_ports, get, until
from test_alerting_live import shorter
from test_monitoring import ALERTMANAGER, known_to_amtool


@contextlib.contextmanager
def pager() -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """The port of a pager (Events API v2), and what it was told."""
    heard: list[dict[str, Any]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/pager":
                heard.append(json.loads(body))
            self.send_response(202)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1], heard
        server.shutdown()


def hurry(route: dict[str, Any]) -> None:
    for key in ("group_wait", "group_interval", "repeat_interval"):
        if key in route:
            route[key] = shorter(route[key])
    for child in route.get("routes", []):
        hurry(child)


def start(processes: Processes, folder: pathlib.Path, cluster: str, told: int) -> str:
    """A cluster's Alertmanager; its address."""
    here = folder / cluster
    (here / "templates").mkdir(parents=True)
    for template in (ALERTMANAGER.parent / "templates").iterdir():
        (here / "templates" / template.name).write_text(template.read_text())
    (here / "key").write_text("0" * 32)
    config = yaml.safe_load(known_to_amtool(ALERTMANAGER.read_text()))
    hurry(config["route"])
    for each in config["receivers"]:
        if "pagerduty_configs" in each:
            each["pagerduty_configs"][0] |= {"url": f"http://127.0.0.1:{told}/pager", "routing_key_file": str(here / "key")}
        else:
            name = each["name"]
            each.clear()
            each |= {"name": name, "webhook_configs": [{"url": f"http://127.0.0.1:{told}/{name}"}]}
    (here / "alertmanager.yml").write_text(yaml.safe_dump(config))
    (port,) = free_ports(1)
    processes.start(
        f"alertmanager-{cluster}",
        find_tool("prometheus-alertmanager"),
        f"--config.file={here}/alertmanager.yml",
        f"--storage.path={here}/data",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    )
    url = f"http://127.0.0.1:{port}"
    until(f"{cluster}'s Alertmanager is ready", lambda: get(f"{url}/-/ready")[0] == 200)
    return url


LOST = ("cloud=aws", "region=us-east-1")
ELSEWHERE = ("cloud=gcp", "region=europe-west1")
# What each cluster says when us-east-1 goes, and one alert of another region and of a route.
ALERTS = [
    ("RegionDown", "critical", *LOST, "pool=aws-us-east-1"),
    ("RegionDown", "critical", *LOST, "pool=aws-us-east-1-b"),
    ("TooFewEdges", "critical", *LOST),
    ("EndpointDown", "warning", *LOST, "endpoint=10.0.0.1:8000"),
]
OTHERS = [("RegionDown", "critical", *ELSEWHERE, "pool=gcp"), ("HighErrorRate", "critical", "route=api")]


def test_one_lost_region_is_one_page(tmp_path: pathlib.Path, counted) -> None:
    """Three alerts of one region from each of two clusters are one incident; another region is a second, a route one per cluster"""
    amtool = find_tool("amtool")
    processes = Processes(tmp_path)
    with pager() as (port, heard), contextlib.ExitStack() as stack:
        stack.callback(processes.end)
        urls = {cluster: start(processes, tmp_path, cluster, port) for cluster in ("a", "b")}

        def tell(alerts: list[tuple[str, ...]]) -> None:
            for cluster, url in urls.items():
                for name, severity, *labels in alerts:
                    words = (f"alertname={name}", f"severity={severity}", f"cluster={cluster}", *labels)
                    done = run(amtool, f"--alertmanager.url={url}", "alert", "add", *words, "--annotation=summary=x")
                    assert done.returncode == 0, done.stderr

        def keys() -> set[str]:
            return {each["dedup_key"] for each in heard if each["event_action"] == "trigger"}

        tell(ALERTS)
        until("both clusters page", lambda: len(heard) >= 2)
        assert len(keys()) == 1, heard
        tell(OTHERS)
        until("the other region and both clusters' route page", lambda: len(keys()) >= 4)
        assert len(keys()) == 4, heard
        counted("pages", len(keys()))
