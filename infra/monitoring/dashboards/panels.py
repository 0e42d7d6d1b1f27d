"""The words that dashboards are written in: a panel, its query, a variable. What they say is in `content.py`."""

from __future__ import annotations

from typing import Any

SOURCE = {"type": "prometheus", "uid": "prometheus"}
EDGE = 'job="thalweg", instance=~"$edge"'
PLACE = 'cloud=~"$cloud", region=~"$region"'
Panel = dict[str, Any]


def panel(
    kind: str,
    title: str,
    unit: str,
    *targets: tuple[str, str],
    bad: float | None = None,
    low: bool = False,
) -> Panel:
    """One panel; `bad` colours from that value on (with `low`: below it). Every target is (expression, legend)."""
    colours = ("red", "green") if low else ("green", "red")
    steps = [{"color": colours[0] if bad is not None else "green", "value": None}]
    if bad is not None:
        steps.append({"color": colours[1], "value": bad})
    instant = kind != "timeseries"
    return {
        "type": kind,
        "title": title,
        "datasource": SOURCE,
        "fieldConfig": {
            "defaults": {"unit": unit, "thresholds": {"mode": "absolute", "steps": steps}},
            "overrides": [],
        },
        "options": options(kind),
        "targets": [
            {
                "refId": chr(65 + nth),
                "datasource": SOURCE,
                "expr": expr,
                "legendFormat": legend,
                "instant": instant,
            }
            | ({"format": "table"} if kind == "table" else {})
            for nth, (expr, legend) in enumerate(targets)
        ],
    }


def options(kind: str) -> dict[str, Any]:
    if kind == "stat":
        return {
            "colorMode": "background",
            "graphMode": "none",
            "reduceOptions": {"calcs": ["lastNotNull"]},
        }
    if kind == "table":
        return {"showHeader": True}
    return {
        "legend": {"displayMode": "table", "placement": "bottom", "calcs": ["mean", "max"]},
        "tooltip": {"mode": "multi"},
    }


def stat(*args: Any, **more: Any) -> Panel:
    return panel("stat", *args, **more)


def line(*args: Any, **more: Any) -> Panel:
    return panel("timeseries", *args, **more)


def table(*args: Any, **more: Any) -> Panel:
    return panel("table", *args, **more)


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
