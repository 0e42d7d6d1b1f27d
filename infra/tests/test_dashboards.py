"""Dashboards are current and plain; every metric and label that they or the rules ask for is really exposed."""

from __future__ import annotations

import json
import pathlib
import re
import sys
from collections.abc import Iterator
from typing import Any

import promql
import pytest
import yaml
from conftest import INFRA, run
from monitored import World, get, until, world

MONITORING = INFRA / "monitoring"
DASHBOARDS = MONITORING / "dashboards"
NAMES = ("operations", "executive", "development", "security")
# What a target carries beside its own labels, by how it is scraped (prometheus.yml), and what Prometheus itself makes.
TARGET = {"job", "instance", "namespace", "pod"}
EDGE_TARGET = TARGET | {"edge_cloud", "edge_region"}
APP_TARGET = TARGET | {"service", "cloud", "region"}
MADE = {"up": EDGE_TARGET | APP_TARGET, "ALERTS": {"alertname", "alertstate", "severity"}}
# In the contract, and exposed once the edge's machinery for it acts: seen by the check as soon as it is.
PROMISED = {
    "thalweg_hedges_total": {"route", "result"},
    "thalweg_ejections_total": {"pool", "endpoint", "cause"},
    "thalweg_retry_budget_exhausted_total": {"route"},
}


def dashboard(name: str) -> dict[str, Any]:
    return json.loads((DASHBOARDS / f"{name}.json").read_text())


def rules() -> list[dict[str, Any]]:
    files = sorted((MONITORING / "rules").glob("*.yml"))
    return [
        rule
        for path in files
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
    ]


def expressions() -> Iterator[tuple[str, str]]:
    """Every PromQL expression with the place where it stands."""
    for rule in rules():
        yield rule.get("alert") or rule["record"], rule["expr"]
    for name in NAMES:
        for panel in dashboard(name)["panels"]:
            for target in panel["targets"]:
                yield f"{name}: {panel['title']}", target["expr"]
        for variable in dashboard(name)["templating"]["list"]:
            yield f"{name}: ${variable['name']}", re.fullmatch(
                r"label_values\((.+), \w+\)", variable["definition"]
            )[1]


def test_dashboards_are_current(counted) -> None:
    """The dashboards are what their source writes"""
    checked = run(sys.executable, DASHBOARDS / "build.py", "--check")
    assert checked.returncode == 0 and checked.stdout.strip() == "current", (
        checked.stdout + checked.stderr
    )
    counted("dashboards", len(NAMES))


@pytest.mark.parametrize("name", NAMES)
def test_dashboard_model(name: str, counted) -> None:
    """A dashboard is the plain model: current panel types, units, thresholds, no overlap, templated by place"""
    model = dashboard(name)
    assert (
        "dashboard" not in model
        and model["schemaVersion"] >= 39
        and model["uid"] == f"thalweg-{name}"
    )
    assert [variable["name"] for variable in model["templating"]["list"]] == [
        "cloud",
        "region",
        "edge",
    ]
    taken: set[tuple[int, int]] = set()
    for panel in model["panels"]:
        assert panel["type"] in {"timeseries", "stat", "table"}, panel["type"]
        assert (
            panel["fieldConfig"]["defaults"]["unit"]
            and panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
        )
        assert panel["title"] and panel["targets"]
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24 and not cells & taken, panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in model["panels"]}) == len(model["panels"])
    counted("panels", len(model["panels"]))


def test_wanted_panels() -> None:
    """Request Rate and Error Rate are there, by route and by service, and the error rate is a share"""
    titles = {panel["title"]: panel for name in NAMES for panel in dashboard(name)["panels"]}
    for title in ("Request Rate", "Error Rate", "Request Rate by service", "Error Rate by service"):
        assert title in titles, title
    assert titles["Error Rate by service"]["fieldConfig"]["defaults"]["unit"] == "percentunit"


def test_provisioning(counted) -> None:
    """Grafana's provisioning names each data source that a dashboard uses"""
    sources = yaml.safe_load((MONITORING / "grafana/datasources.yml").read_text())
    known = {source["uid"]: source["type"] for source in sources["datasources"]}
    used = {
        (t["datasource"]["uid"], t["datasource"]["type"])
        for n in NAMES
        for p in dashboard(n)["panels"]
        for t in p["targets"]
    }
    assert used <= set(known.items()), used
    assert {"prometheus", "loki", "jaeger", "alertmanager"} == set(known.values())
    counted("data sources", len(known))


def test_dashboard_provider() -> None:
    """Grafana loads the dashboards from files and lets nobody change them in the browser"""
    providers = yaml.safe_load((MONITORING / "grafana/dashboards.yml").read_text())["providers"]
    assert [(each["type"], each["allowUiUpdates"]) for each in providers] == [("file", False)]
    assert providers[0]["options"]["path"].startswith("/etc/grafana")


def provoke(watched: World) -> None:
    """Traffic of every kind that is needed for every series to be born."""
    web, secure = f"http://127.0.0.1:{watched.web}", f"http://127.0.0.1:{watched.secure}"
    for path in ("/", "/hello", "/health", "/nothing"):
        get(web + path)
    with_error = get(f"{web}/..%2f")  # %2F is refused by the edge itself
    assert with_error[0] == 400, with_error
    assert secure
    watched.processes.kill("us-east-1")
    get(f"{web}/hello")
    until("the failover is counted", lambda: "thalweg_failovers_total{" in watched.metrics())
    until("a request is answered elsewhere", lambda: get(f"{web}/hello")[0] == 200)


def exposed(tmp_path: pathlib.Path) -> dict[str, set[str]]:
    """Labels by metric: of a real edge, a real application, the clusters' list, and the recording rules."""
    with world(tmp_path) as watched:
        provoke(watched)
        edge = promql.samples(watched.metrics())
        app = promql.samples(
            get(f"http://127.0.0.1:{watched.regions['gcp', 'europe-west1']}/metrics")[1]
        )
    known = {
        name: set(labels)
        for name, labels in yaml.safe_load((MONITORING / "kube-metrics.yml").read_text()).items()
    }
    known |= MADE
    for shown, target in ((app, APP_TARGET), (edge, EDGE_TARGET)):
        for name, labels in shown.items():
            known[name] = known.get(name, set()) | labels | target
    for name, labels in edge.items():
        assert not labels & EDGE_TARGET, f"a target label would rename {labels & EDGE_TARGET} of {name}"
    for name in PROMISED.keys() - edge.keys():
        known[name] = PROMISED[name] | EDGE_TARGET
    for rule in rules():
        if "record" in rule:
            known[rule["record"]] = promql.grouped_by(rule["expr"])
    # Rules may build on rules: `vector * 0` has the labels of its vector.
    known["service:app_errors:ratio_rate5m"] |= known["service:app_requests:rate5m"]
    return known


def test_every_metric_exists(tmp_path: pathlib.Path, counted) -> None:
    """Every metric and label in rules and dashboards is exposed by a real edge, a real application, or is listed"""
    known = exposed(tmp_path)
    seen: set[str] = set()
    wrong: list[str] = []
    for place, text in expressions():
        asked = list(promql.selectors(promql.parse(text)))
        reach = set().union(*(known.get(name, set()) for name, _ in asked))
        for name, labels in asked:
            seen.add(name)
            if name not in known:
                wrong.append(f"{place}: nobody exposes {name}")
            elif labels - known[name]:
                wrong.append(f"{place}: {name} has no {labels - known[name]}")
        if lost := promql.grouped_by(text) - reach:
            wrong.append(f"{place}: groups by {lost}, which none of its metrics has")
    assert not wrong, "\n".join(wrong)
    listed = set(yaml.safe_load((MONITORING / "kube-metrics.yml").read_text()))
    assert listed <= seen, f"listed, but used nowhere: {listed - seen}"
    counted("expressions", len(list(expressions())))
    counted("metrics", len(seen))
