"""The words that dashboards are written in: a panel, its query, a variable. What they show is in `content/`."""

from __future__ import annotations

from typing import Any

SOURCE = {"type": "prometheus", "uid": "prometheus"}
EDGE = 'job="thalweg", instance=~"$edge"'
PLACE = 'cloud=~"$cloud", region=~"$region"'
RUNBOOK = "https://github.com/example/thalweg/blob/main/docs/monitoring.md"
Panel = dict[str, Any]
# What is counted is a whole number: 2.5 regions would be an average, not a fact.
COUNT = "count"


def panel(
    kind: str,
    title: str,
    unit: str,
    *targets: tuple[str, str],
    says: str,
    bad: float | None = None,
    low: bool = False,
    alert: str | None = None,
) -> Panel:
    """One panel. `says`: what it means and what to do about it; `bad` colours from that value on (with `low`: below it), and is drawn
    as a line; `alert` links to that alert's section. Every target is (expression, legend)."""
    colours = ("red", "green") if low else ("green", "red")
    steps = [{"color": colours[0] if bad is not None else "green", "value": None}]
    if bad is not None:
        steps.append({"color": colours[1], "value": bad})
    defaults: dict[str, Any] = {"thresholds": {"mode": "absolute", "steps": steps}}
    defaults |= {"unit": "none", "decimals": 0} if unit == COUNT else {"unit": unit}
    defaults["noValue"] = "no data"
    if kind == "timeseries":
        defaults["custom"] = {"fillOpacity": 10, "thresholdsStyle": {"mode": "line" if bad is not None else "off"}}
        if unit in (COUNT, "percentunit", "reqps", "ops", "s"):
            defaults["min"] = 0
    found: Panel = {
        "type": kind,
        "title": title,
        "description": says,
        "datasource": SOURCE,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options(kind),
        "targets": [target(kind, nth, expr, legend) for nth, (expr, legend) in enumerate(targets)],
    }
    if alert:
        found["links"] = [{"title": f"What to do: {alert}", "url": f"{RUNBOOK}#{alert.lower()}", "targetBlank": True}]
    return found


def target(kind: str, nth: int, expr: str, legend: str) -> dict[str, Any]:
    asked = {"refId": chr(65 + nth), "datasource": SOURCE, "expr": expr, "legendFormat": legend, "instant": kind != "timeseries"}
    return asked | ({"format": "table"} if kind == "table" else {})


def options(kind: str) -> dict[str, Any]:
    if kind == "stat":
        return {"colorMode": "background", "graphMode": "none", "reduceOptions": {"calcs": ["lastNotNull"]}}
    if kind == "table":
        return {"showHeader": True, "cellHeight": "sm"}
    return {
        "legend": {"displayMode": "table", "placement": "bottom", "calcs": ["mean", "max"]},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }


def stat(*args: Any, **more: Any) -> Panel:
    return panel("stat", *args, **more)


def line(*args: Any, **more: Any) -> Panel:
    return panel("timeseries", *args, **more)


def table(
    title: str, unit: str, *targets: tuple[str, str], columns: dict[str, str], words: dict[str, str] | None = None, **more: Any
) -> Panel:
    """A table of these columns alone, in this order: label (`Value` is the number; of several targets `Value #A` …) → heading.
    `words`: what a number is called, so that nobody reads 0 and 1."""
    found = panel("table", title, unit, *targets, **more)
    found["transformations"] = [{"id": "merge", "options": {}}] if len(targets) > 1 else []
    found["transformations"].append(
        {
            "id": "organize",
            "options": {
                "includeByName": {name: True for name in columns},
                "indexByName": {name: nth for nth, name in enumerate(columns)},
                "renameByName": columns,
            },
        }
    )
    if words:
        colours = {"down": "red", "firing": "red"}
        mapped = {n: {"text": w, "color": colours.get(w, "green"), "index": i} for i, (n, w) in enumerate(words.items())}
        found["fieldConfig"]["defaults"]["mappings"] = [{"type": "value", "options": mapped}]
    return found


def variable(name: str, metric: str, label: str) -> dict[str, Any]:
    query = f"label_values({metric}, {label})"
    return {
        "name": name,
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": query, "refId": name},
        "definition": query,
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


VARIABLES = [
    variable("cloud", "thalweg_pool_info", "cloud"),
    variable("region", 'thalweg_pool_info{cloud=~"$cloud"}', "region"),
    variable("edge", 'up{job="thalweg"}', "instance"),
]


def annotation(name: str, colour: str, expr: str, title: str, text: str) -> dict[str, Any]:
    return {
        "name": name,
        "datasource": SOURCE,
        "enable": True,
        "iconColor": colour,
        "expr": expr,
        "step": "15s",
        "titleFormat": title,
        "textFormat": text,
    }


# What happened, as lines over every graph. A counter that is born with its first event counts, as in the alert FailoverHappened.
ANNOTATIONS = [
    annotation(
        "Failovers",
        "red",
        "sum by (route, from, to) (increase(thalweg_failovers_total[30s])) > 0"
        " or sum by (route, from, to) (thalweg_failovers_total unless thalweg_failovers_total offset 30s and on (instance) up offset 30s)",
        "Failover of {{route}}",
        "{{from}} to {{to}}",
    ),
    annotation(
        "Releases of the edge",
        "blue",
        "count by (version) (thalweg_build_info unless on (version) thalweg_build_info offset 1m) and on () count(thalweg_build_info offset 1m)",
        "Edge {{version}}",
        "the first edges of this version",
    ),
    annotation(
        "Releases of the application",
        "purple",
        "count by (service, version) (app_info unless on (service, version) app_info offset 1m) and on () count(app_info offset 1m)",
        "{{service}} {{version}}",
        "the first instances of this version",
    ),
    annotation(
        "Configs",
        "yellow",
        "sum by (instance) (changes(thalweg_config_generation[1m])) > 0",
        "Config of {{instance}}",
        "a changed config is in force",
    ),
]

# Two edges may place a pool of the same name differently.
POOL_OF_EDGE = "pool, instance, edge_cloud, edge_region"
# Requests by the place of the pool that served them; "-" (answered by the edge) has no place.
BY_PLACE = (
    f"sum by (region, cloud) (sum by ({POOL_OF_EDGE}) (rate(thalweg_requests_total{{{EDGE}}}[$__rate_interval]))"
    f" * on ({POOL_OF_EDGE}) group_left (region, cloud) thalweg_pool_info{{{PLACE}}})"
)
QUANTILE = "histogram_quantile({q}, sum by ({by}, le) (rate({metric}_bucket{{{match}}}[$__rate_interval])))"


def quantile(q: float, by: str, metric: str, match: str) -> str:
    return QUANTILE.format(q=q, by=by, metric=metric, match=match)


def rate(metric: str, by: str, match: str = EDGE) -> str:
    return f"sum by ({by}) (rate({metric}{{{match}}}[$__rate_interval]))"
