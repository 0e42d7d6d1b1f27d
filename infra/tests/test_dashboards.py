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
from conftest import INFRA, ROOT, run
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


def panels(name: str) -> list[dict[str, Any]]:
    """The panels of a dashboard, without the headings of its rows."""
    return [panel for panel in dashboard(name)["panels"] if panel["type"] != "row"]


def every_panel() -> Iterator[tuple[str, dict[str, Any]]]:
    for name in NAMES:
        for panel in panels(name):
            yield f"{name}: {panel['title']}", panel


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
        for panel in panels(name):
            for target in panel["targets"]:
                yield f"{name}: {panel['title']}", target["expr"]
        for mark in dashboard(name)["annotations"]["list"]:
            yield f"{name}: {mark['name']}", mark["expr"]
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
        assert panel["type"] in {"timeseries", "stat", "table", "row"}, panel["type"]
        assert panel["title"]
        if panel["type"] != "row":
            defaults = panel["fieldConfig"]["defaults"]
            assert defaults["unit"] and defaults["thresholds"]["steps"] and panel["targets"]
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24 and not cells & taken, panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in model["panels"]}) == len(model["panels"])
    counted("panels", len(panels(name)))


def test_panels_explain_themselves(counted) -> None:
    """Every panel says what it means; its link leads to an alert's section that exists; dashboards link to each other and the page"""
    page = (ROOT / "docs/monitoring.md").read_text()
    known = {rule["alert"] for rule in rules() if "alert" in rule}
    linked = 0
    for place, panel in every_panel():
        assert len(panel["description"]) > 40 and panel["description"].endswith("."), place
        for link in panel.get("links", []):
            alert = link["title"].removeprefix("What to do: ")
            assert alert in known and f"\n### {alert}\n" in page, (place, alert)
            assert link["url"].endswith(f"docs/monitoring.md#{alert.lower()}"), place
            linked += 1
    for name in NAMES:
        ways = dashboard(name)["links"]
        assert {way["type"] for way in ways} == {"dashboards", "link"} and ways[0]["keepTime"], name
    counted("links", linked)


COUNTS = re.compile(r"^(round\(|count\b|sum\(max by|sum by \([^)]*\) \((thalweg_(endpoint_in_flight|connections)|app_requests_in_flight)|thalweg_config_generation)")


def test_what_is_counted_is_whole(counted) -> None:
    """Numbers of things are shown without a fraction, and nothing else is"""
    number = 0
    for place, panel in every_panel():
        defaults = panel["fieldConfig"]["defaults"]
        if panel["type"] == "table":
            continue
        counts = all(COUNTS.match(target["expr"]) for target in panel["targets"])
        if counts:
            assert (defaults["unit"], defaults["decimals"]) == ("none", 0), place
            number += 1
        elif "increase(" not in panel["targets"][0]["expr"]:
            assert defaults["unit"] in {"percentunit", "reqps", "ops", "s"}, (place, defaults["unit"])
    assert number >= 10
    counted("counts", number)


def test_thresholds_are_seen(counted) -> None:
    """A threshold is a line in a graph and a background in a number, and equals its alert's where the alert compares with it"""
    said = {rule["alert"]: rule["expr"] for rule in rules() if "alert" in rule}
    number = 0
    for place, panel in every_panel():
        steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
        if len(steps) < 2:
            continue
        if panel["type"] == "timeseries":
            assert panel["fieldConfig"]["defaults"]["custom"]["thresholdsStyle"]["mode"] == "line", place
        elif panel["type"] == "stat":
            assert panel["options"]["colorMode"] == "background", place
        number += 1
    for title, alert in (("Error Rate", "HighErrorRate"), ("p99 by route", "LatencyDegraded"), ("Error Rate by service", "ServiceErrorRate")):
        (panel,) = [panel for _, panel in every_panel() if panel["title"] == title]
        assert f"> {panel['fieldConfig']['defaults']['thresholds']['steps'][1]['value']} " in said[alert], (title, said[alert])
    counted("thresholds", number)


def test_what_happened_is_marked() -> None:
    """Failovers, releases of edge and application, and configs are annotations of every dashboard"""
    for name in NAMES:
        marks = {mark["name"]: mark["expr"] for mark in dashboard(name)["annotations"]["list"]}
        assert "thalweg_failovers_total" in marks["Failovers"], name
        assert "thalweg_build_info" in marks["Releases of the edge"] and "app_info" in marks["Releases of the application"], name
        assert "thalweg_config_generation" in marks["Configs"], name


def test_capacity_has_a_row() -> None:
    """Operations: how much room is left, of pods, processors, descriptors and requests in flight"""
    model = dashboard("operations")["panels"]
    start = next(nth for nth, panel in enumerate(model) if panel["type"] == "row" and panel["title"] == "Capacity")
    row = [panel for panel in model[start + 1 : start + 5] if panel["type"] == "timeseries"]
    asked = " ".join(target["expr"] for panel in row for target in panel["targets"])
    for metric in ("thalweg_endpoint_in_flight", "horizontalpodautoscaler", "process_cpu_seconds", "process_open_fds"):
        assert metric in asked, metric


def test_tables_are_readable(counted) -> None:
    """A table shows named columns alone, each a label or a number that its query gives, and words instead of 0 and 1"""
    number = 0
    for place, panel in every_panel():
        if panel["type"] != "table":
            continue
        (organised,) = [each["options"] for each in panel["transformations"] if each["id"] == "organize"]
        columns = organised["includeByName"]
        assert 2 <= len(columns) <= 6 and "Time" not in columns and set(organised["renameByName"]) == set(columns), place
        for name in [name for name in columns if not name.startswith("Value")]:
            assert name in " ".join(target["expr"] for target in panel["targets"]) or name in known_labels(panel), (place, name)
        words = panel["fieldConfig"]["defaults"].get("mappings")
        assert words or panel["fieldConfig"]["defaults"]["unit"] != "none" or "count" in panel["targets"][0]["expr"], place
        number += 1
    counted("tables", number)


def known_labels(panel: dict[str, Any]) -> set[str]:
    """The labels of what a panel asks for: of a recording rule those that it groups by, else what Prometheus makes."""
    made = {rule["record"]: promql.grouped_by(rule["expr"]) for rule in rules() if "record" in rule} | MADE
    names = {name for target in panel["targets"] for name, _ in promql.selectors(promql.parse(target["expr"]))}
    return set().union(*(made.get(name, set()) for name in names))


def test_wanted_panels() -> None:
    """Request Rate and Error Rate are there, by route and by service, and the error rate is a share"""
    titles = {panel["title"]: panel for _, panel in every_panel()}
    for title in ("Request Rate", "Error Rate", "Request Rate by service", "Error Rate by service"):
        assert title in titles, title
    assert titles["Error Rate by service"]["fieldConfig"]["defaults"]["unit"] == "percentunit"


def test_provisioning(counted) -> None:
    """Grafana's provisioning names each data source that a dashboard uses"""
    sources = yaml.safe_load((MONITORING / "grafana/datasources.yml").read_text())
    known = {source["uid"]: source["type"] for source in sources["datasources"]}
    used = {
        (t["datasource"]["uid"], t["datasource"]["type"])
        for _, p in every_panel()
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
        reach = promql.made(text).union(*(known.get(name, set()) for name, _ in asked))
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
