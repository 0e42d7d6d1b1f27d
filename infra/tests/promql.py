"""Reads PromQL: which metrics an expression asks for, and which labels it demands of each.

The parser is Prometheus' grammar (the crate promql-parser under its Python name); this file only walks its tree.
Never evaluates anything: promtool and the live Prometheus do that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import promql_parser

# Histograms and summaries are declared once and exposed under several names.
SUFFIXES = ("_bucket", "_sum", "_count")
GRAFANA = re.compile(r"\$__(rate_interval|interval|range)")


def parse(text: str) -> Any:
    """The tree of one expression; Grafana's interval variables stand for five minutes. Raises ValueError."""
    return promql_parser.parse(GRAFANA.sub("5m", text))


def selectors(node: Any) -> Iterator[tuple[str, set[str]]]:
    """Every (metric, labels it is matched by) below a node. A selector without a metric name is an error."""
    kind = type(node).__name__
    if kind == "VectorSelector":
        labels = {matcher.name for matcher in node.matchers.matchers} - {"__name__"}
        names = [m.value for m in node.matchers.matchers if m.name == "__name__"]
        name = node.name or (names[0] if names else None)
        if name is None:
            raise ValueError("a selector without a metric name")
        yield name, labels
        return
    for child in children(node):
        yield from selectors(child)


def children(node: Any) -> list[Any]:
    """The nodes directly below one."""
    below = []
    for field in ("expr", "lhs", "rhs", "vector_selector", "vs", "param"):
        child = getattr(node, field, None)
        if child is not None and not isinstance(child, (str, int, float)):
            below.append(child)
    return below + list(getattr(node, "args", None) or [])


def grouped_by(text: str) -> set[str]:
    """Every label that an expression names in by, without, on, ignoring or group_left."""
    found: set[str] = set()
    for clause in re.findall(
        r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)", text
    ):
        found |= {label.strip() for label in clause.split(",") if label.strip()}
    return found


def made(text: str) -> set[str]:
    """Every label that a label_replace writes."""
    return set(re.findall(r',\s*"(\w+)",\s*"[^"]*",\s*"[^"]*",\s*"[^"]*"\)', text))


def samples(exposition: str) -> dict[str, set[str]]:
    """Label names by metric name, of a Prometheus text."""
    shown: dict[str, set[str]] = {}
    for line in exposition.splitlines():
        if not line or line.startswith("#"):
            continue
        name, _, rest = line.partition("{") if "{" in line else (line.split(" ")[0], "", "")
        shown.setdefault(name, set()).update(re.findall(r'(\w+)="', rest.rpartition("}")[0]))
    return shown
