"""The whole way once, for real: a region is killed, Prometheus sees it, Alertmanager tells, and both forget after its revival.

Real Prometheus, Alertmanager, edge and three FastAPI regions on free ports. The copies of the configs differ from the originals in
what a laptop needs: files instead of Kubernetes discovery, intervals of 1 s instead of 15 s, `for` and group waits divided by
SHORTER (as is the delay until an alert is sent again), and the receivers' addresses, which all lead to a webhook that this test runs. Rules and routes are untouched otherwise.
"""

from __future__ import annotations

import http.server
import json
import pathlib
import re
import shlex
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from conftest import INFRA, ROOT, find_tool, run
from monitored import Processes, World, free_ports, get, until, world

MONITORING = INFRA / "monitoring"
SHORTER = 15  # the scrape interval's own factor: 15 s become 1 s
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def shorter(duration: str) -> str:
    seconds = sum(
        int(number) * UNITS[unit] for number, unit in re.findall(r"(\d+)([smhd])", duration)
    )
    return f"{max(1, seconds // SHORTER)}s"


class Receiver:
    """Every notification that arrives, by receiver's name."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, dict[str, Any]]] = []
        heard = self.heard

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                heard.extend((self.path.strip("/"), alert) for alert in body["alerts"])
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def alerts(self, receiver: str, status: str, **labels: str) -> list[dict[str, Any]]:
        return [
            alert
            for name, alert in list(self.heard)
            if name == receiver
            and alert["status"] == status
            and labels.items() <= alert["labels"].items()
        ]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    hears = Receiver()
    yield hears
    hears.server.shutdown()
    hears.server.server_close()


def write_prometheus(folder: pathlib.Path, watched: World, alertmanager: int) -> None:
    config = yaml.safe_load((MONITORING / "prometheus/prometheus.yml").read_text())
    config["global"].update(scrape_interval="1s", evaluation_interval="1s", scrape_timeout="1s")
    config["alerting"]["alertmanagers"] = [
        {"static_configs": [{"targets": [f"127.0.0.1:{alertmanager}"]}]}
    ]
    config["scrape_configs"] = [job for job in config["scrape_configs"] if "file_sd_configs" in job]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    (folder / "rules").mkdir()
    for path in (MONITORING / "rules").glob("*.yml"):
        rules = yaml.safe_load(path.read_text())
        for group in rules["groups"]:
            group["interval"] = "1s"
            for rule in group["rules"]:
                if "for" in rule:
                    rule["for"] = shorter(rule["for"])
        (folder / "rules" / path.name).write_text(yaml.safe_dump(rules))
    edges = [
        {
            "targets": [f"127.0.0.1:{watched.admin}"],
            "labels": {"edge_cloud": "aws", "edge_region": "us-east-1"},
        }
    ]
    apps = [
        {
            "targets": [f"127.0.0.1:{port}"],
            "labels": {"service": "fastapi", "cloud": cloud, "region": region},
        }
        for (cloud, region), port in watched.regions.items()
    ]
    for kind, targets in (("edges", edges), ("apps", apps)):
        (folder / "targets" / kind).mkdir(parents=True)
        (folder / "targets" / kind / "test.yml").write_text(yaml.safe_dump(targets))


def write_alertmanager(folder: pathlib.Path, port: int) -> None:
    config = yaml.safe_load((MONITORING / "alertmanager/alertmanager.yml").read_text())

    def hurry(route: dict[str, Any]) -> None:
        for key in ("group_wait", "group_interval", "repeat_interval"):
            if key in route:
                route[key] = shorter(route[key])
        for child in route.get("routes", []):
            hurry(child)

    hurry(config["route"])
    config["receivers"] = [
        {
            "name": each["name"],
            "webhook_configs": [
                {"url": f"http://127.0.0.1:{port}/{each['name']}", "send_resolved": True}
            ],
        }
        for each in config["receivers"]
    ]
    del config["templates"]
    (folder / "alertmanager.yml").write_text(yaml.safe_dump(config))


def firing(prometheus: int) -> dict[tuple[str, str], dict[str, Any]]:
    """Alerts that fire in Prometheus, by name and region."""
    answer = json.loads(get(f"http://127.0.0.1:{prometheus}/api/v1/alerts")[1])
    return {
        (alert["labels"]["alertname"], alert["labels"].get("region", "")): alert
        for alert in answer["data"]["alerts"]
        if alert["state"] == "firing"
    }


def start_watchers(watched: World, hears: Receiver, folder: pathlib.Path) -> tuple[int, int]:
    prometheus, alertmanager = free_ports(2)
    write_prometheus(folder, watched, alertmanager)
    write_alertmanager(folder, hears.port)
    watched.processes.start(
        "alertmanager",
        find_tool("prometheus-alertmanager"),
        f"--config.file={folder}/alertmanager.yml",
        f"--storage.path={folder}/am-data",
        f"--web.listen-address=127.0.0.1:{alertmanager}",
        "--cluster.listen-address=",
    )
    watched.processes.start(
        "prometheus",
        find_tool("prometheus"),
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address=127.0.0.1:{prometheus}",
        f"--rules.alert.resend-delay={shorter('1m')}",  # what fired before Alertmanager was found is sent again
        "--enable-feature=expand-external-labels",  # Prometheus 3 does so unasked
        cwd=folder,
        CLUSTER="here",
    )
    for name, port in (("Alertmanager", alertmanager), ("Prometheus", prometheus)):
        until(
            f"{name} is ready", lambda port=port: get(f"http://127.0.0.1:{port}/-/ready")[0] == 200
        )
    return prometheus, alertmanager


def query(prometheus: int, name: str) -> list[dict[str, Any]]:
    return json.loads(get(f"http://127.0.0.1:{prometheus}/api/v1/query?query={name}")[1])["data"][
        "result"
    ]


def test_a_region_dies(tmp_path: pathlib.Path, receiver: Receiver, counted) -> None:
    """A region is killed: the alert fires in Prometheus, reaches pager and chat, and clears after its revival"""
    for tool in ("prometheus", "prometheus-alertmanager"):
        find_tool(tool)
    place = {"cloud": "aws", "region": "us-east-1"}
    with world(tmp_path) as watched:
        prometheus, _ = start_watchers(watched, receiver, tmp_path)
        everything = len(watched.regions) + 1
        until(
            "every target is scraped",
            lambda: sum(s["value"][1] == "1" for s in query(prometheus, "up")) == everything,
        )
        until(
            "the Watchdog arrives",
            lambda: receiver.alerts("dead-mans-switch", "firing", alertname="Watchdog"),
        )
        assert get(f"http://127.0.0.1:{watched.web}/hello")[0] == 200
        assert set(firing(prometheus)) == {("Watchdog", "")}, firing(prometheus)

        watched.processes.kill("us-east-1")
        until("RegionDown fires", lambda: ("RegionDown", "us-east-1") in firing(prometheus), 30)
        assert (
            get(f"http://127.0.0.1:{watched.web}/hello")[0] == 200
        ), "another region serves meanwhile"
        paged = until(
            "the pager rings",
            lambda: receiver.alerts("pager", "firing", alertname="RegionDown", **place),
        )
        assert paged[0]["annotations"]["summary"].startswith(
            "Region us-east-1 (aws) is down"
        ), paged[0]
        assert paged[0]["labels"]["cluster"] == "here", paged[0]
        until(
            "chat hears of it",
            lambda: receiver.alerts("chat", "firing", alertname="RegionDown", **place),
        )
        # FailoverHappened asks what was known ten minutes ago, longer than this lives: the unit tests let it fire.
        until(
            "Prometheus knows of the failover", lambda: query(prometheus, "thalweg_failovers_total")
        )
        until("EndpointDown fires", lambda: ("EndpointDown", "us-east-1") in firing(prometheus), 30)

        watched.start_region("aws", "us-east-1")
        until(
            "RegionDown clears", lambda: ("RegionDown", "us-east-1") not in firing(prometheus), 30
        )
        until(
            "the pager hears that",
            lambda: receiver.alerts("pager", "resolved", alertname="RegionDown", **place),
        )
        # Inhibited: the region's alert spoke for its endpoint; of the other regions nothing was ever wrong.
        assert not receiver.alerts(
            "chat", "firing", alertname="EndpointDown"
        ), "the region's alert should have silenced it"
        assert {alert["labels"].get("region", "us-east-1") for _, alert in receiver.heard} == {
            "us-east-1"
        }
        counted("notifications", len(receiver.heard))


DOCUMENT = ROOT / "docs/monitoring.md"
# The place and route of the documented drill, and others that must stay loud.
DRILLED = {
    "cloud": "aws",
    "region": "us-east-1",
    "pool": "aws-us-east-1",
    "from": "aws-us-east-1",
    "route": "api",
}
OTHERS = {
    "cloud": "gcp",
    "region": "europe-west1",
    "pool": "gcp-europe-west1",
    "from": "gcp-europe-west1",
    "route": "other",
}


def alerts_with_labels(values: dict[str, str]) -> dict[str, list[str]]:
    """Each alert with the labels that it carries and that tell of a place or a route: its summary names them."""
    found = {}
    for path in (MONITORING / "rules").glob("*.yml"):
        for group in yaml.safe_load(path.read_text())["groups"]:
            for rule in group["rules"]:
                if "alert" in rule:
                    named = re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"])
                    found[rule["alert"]] = [f"{name}={values[name]}" for name in named if name in values]
    return found


def test_a_drill_is_silenced(tmp_path: pathlib.Path, counted) -> None:
    """The documented silences are taken by Alertmanager, hide every alert of the drilled place, then of the route, and no other"""
    amtool = find_tool("amtool")
    section = DOCUMENT.read_text().split("\n## A drill\n")[1].split("\n## ")[0]
    blocks = [re.findall(r"^amtool (.+)$", block, re.MULTILINE) for block in section.split("```")[1::2]]
    assert [len(block) for block in blocks] == [3, 1], blocks
    processes = Processes(tmp_path)
    try:
        (port,) = free_ports(1)
        url = f"http://127.0.0.1:{port}"
        write_alertmanager(tmp_path, port)
        processes.start(
            "alertmanager",
            find_tool("prometheus-alertmanager"),
            f"--config.file={tmp_path}/alertmanager.yml",
            f"--storage.path={tmp_path}/am-data",
            f"--web.listen-address=127.0.0.1:{port}",
            "--cluster.listen-address=",
        )
        until("Alertmanager is ready", lambda: get(f"{url}/-/ready")[0] == 200)

        def told(*command: str) -> str:
            done = run(amtool, f"--alertmanager.url={url}", *command)
            assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
            return done.stdout

        expected = {"place": set(), "route": set()}
        for where, values in (("drilled", DRILLED), ("elsewhere", OTHERS)):
            for name, labels in alerts_with_labels(values).items():
                told("alert", "add", f"alertname={name}", f"where={where}", *labels)
                if where == "drilled":
                    names = {label.partition("=")[0] for label in labels}
                    if names & {"region", "pool", "from"}:
                        expected["place"].add(name)
                    elif "route" in names:
                        expected["route"].add(name)
        assert "RegionDown" in expected["place"] and "HighErrorRate" in expected["route"], expected

        def silenced() -> set[tuple[str, str]]:
            shown = json.loads(get(f"{url}/api/v2/alerts")[1])
            hushed = [each["labels"] for each in shown if each["status"]["silencedBy"]]
            return {(labels["alertname"], labels["where"]) for labels in hushed}

        assert not silenced()
        hidden: set[tuple[str, str]] = set()
        for block, which in zip(blocks, ("place", "route"), strict=True):
            for command in block:
                url_option, *words = shlex.split(command)
                assert url_option == "--alertmanager.url=http://localhost:9093", command
                told(*words)
            hidden |= {(name, "drilled") for name in expected[which]}
            until(f"what the {which} sets off is silenced", lambda: silenced() >= hidden, 10)
            assert silenced() == hidden
        counted("alerts", len(hidden))
    finally:
        processes.end()
