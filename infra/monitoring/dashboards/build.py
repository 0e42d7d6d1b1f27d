"""Writes the four Grafana dashboards beside this file: `python3 build.py`; `--check` says whether they are current.

What they show is in `content/`: a dashboard is a list of rows, a row a heading and its panels. Provisioning takes the plain model: no id, no "dashboard" wrapper.
"""

from __future__ import annotations

import json
import pathlib
import sys
from typing import Any

from content import DASHBOARDS, Rows
from panels import ANNOTATIONS, RUNBOOK, VARIABLES, Panel

HERE = pathlib.Path(__file__).parent
SCHEMA = 39


def laid_out(rows: Rows) -> list[Panel]:
    """Panels with their places: a heading over each row; two graphs side by side, up to four numbers."""
    panels: list[Panel] = []
    top = 0
    for heading, row in rows:
        place = {"x": 0, "y": top, "w": 24, "h": 1}
        panels.append({"id": len(panels) + 1, "type": "row", "title": heading, "collapsed": False, "gridPos": place, "panels": []})
        top += 1
        beside = len(row) if row[0]["type"] == "stat" or len(row) == 1 else 2
        width, height = 24 // beside, 4 if row[0]["type"] == "stat" else 8
        for nth, each in enumerate(row):
            last_alone = nth == len(row) - 1 and nth % beside == 0
            place = {"x": nth % beside * width, "y": top + nth // beside * height, "w": 24 if last_alone else width, "h": height}
            panels.append({"id": len(panels) + 1, "gridPos": place} | each)
        top += -(-len(row) // beside) * height
    return panels


def model(name: str, title: str, rows: Rows) -> dict[str, Any]:
    """The plain model of one dashboard."""
    links = [{"title": "Thalweg", "type": "dashboards", "tags": ["thalweg"], "asDropdown": True, "keepTime": True, "includeVars": True}]
    links.append({"title": "Alerts and what to do", "type": "link", "url": RUNBOOK, "targetBlank": True})
    return {
        "uid": f"thalweg-{name}",
        "title": f"Thalweg: {title}",
        "tags": ["thalweg"],
        "schemaVersion": SCHEMA,
        "version": 1,
        "editable": False,
        "timezone": "utc",
        "refresh": "15s" if name == "operations" else "1m",
        "time": {"from": "now-1h" if name == "operations" else "now-24h", "to": "now"},
        "links": links,
        "templating": {"list": VARIABLES},
        "annotations": {"list": ANNOTATIONS},
        "panels": laid_out(rows),
    }


def texts() -> dict[pathlib.Path, str]:
    """What each file should hold."""
    return {
        HERE / f"{name}.json": json.dumps(model(name, *rest), indent=1) + "\n"
        for name, rest in DASHBOARDS.items()
    }


def main() -> int:
    if "--check" in sys.argv:
        stale = [
            path.name
            for path, text in texts().items()
            if not path.exists() or path.read_text() != text
        ]
        print("stale: " + ", ".join(stale) if stale else "current")
        return 1 if stale else 0
    for path, text in texts().items():
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
