"""Writes the four Grafana dashboards beside this file: `python3 build.py`; `--check` says whether they are current.

What they show is in `content.py`: a dashboard is a list of rows, a row a list of panels. Provisioning takes the plain model: no id, no "dashboard" wrapper.
"""

from __future__ import annotations

import json
import pathlib
import sys
from typing import Any

from content import DASHBOARDS
from panels import VARIABLES, Panel

HERE = pathlib.Path(__file__).parent
SCHEMA = 39


def model(name: str, title: str, rows: list[list[Panel]]) -> dict[str, Any]:
    panels = []
    top = 0
    for row in rows:
        width, height = 24 // len(row), 4 if row[0]["type"] == "stat" else 8
        for nth, each in enumerate(row):
            place = {"x": nth * width, "y": top, "w": width, "h": height}
            panels.append({"id": len(panels) + 1, "gridPos": place} | each)
        top += height
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
        "templating": {"list": VARIABLES},
        "annotations": {"list": []},
        "panels": panels,
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
