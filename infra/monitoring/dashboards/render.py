"""Draws the dashboards from a running Prometheus, as SVG: `python3 render.py http://127.0.0.1:9090 SECONDS FOLDER`.

This is not Grafana, which no registry carries: it asks Prometheus what each panel asks, for the last SECONDS, and draws the answers at
the panels' places with their titles, units, thresholds and annotations. It shows that every query gives something a person can
read. What Grafana makes of the same model (menus, colours, links) it does not show. Standard library only.
"""

from __future__ import annotations

import html
import json
import math
import pathlib
import sys
import time
import urllib.parse
import urllib.request
from typing import Any, NamedTuple

HERE = pathlib.Path(__file__).parent
COLUMN, UNIT, GAP = 50, 30, 8
COLOURS = ("#2166ac", "#b2182b", "#1b7837", "#e08214", "#762a83", "#35978f", "#8c510a", "#c51b7d")
NAMED = {"red": "#c62828", "green": "#2e7d32", "blue": "#1565c0", "purple": "#6a1b9a", "yellow": "#f9a825"}
NOT_GRAFANA = "Drawn by infra/monitoring/dashboards/render.py from a real Prometheus, not by Grafana"


class Span(NamedTuple):
    """The time that is shown."""

    start: float
    end: float


class Asked:
    """Queries to one Prometheus, with a dashboard's variables filled in."""

    def __init__(self, url: str, span: Span, rate_interval: str) -> None:
        self._url, self.span, self._rate = url, span, rate_interval
        self.step = max(1, round((span.end - span.start) / 240))

    def _get(self, path: str, **words: str) -> list[dict[str, Any]]:
        with urllib.request.urlopen(f"{self._url}/api/v1/{path}?{urllib.parse.urlencode(words)}", timeout=30) as answer:
            return json.load(answer)["data"]["result"]

    def _filled(self, expr: str) -> str:
        for name in ("cloud", "region", "edge"):
            expr = expr.replace(f"${name}", ".*")
        return expr.replace("$__rate_interval", self._rate)

    def now(self, expr: str) -> list[dict[str, Any]]:
        return self._get("query", query=self._filled(expr), time=f"{self.span.end:.3f}")

    def over_time(self, expr: str) -> list[dict[str, Any]]:
        times = {"start": f"{self.span.start:.3f}", "end": f"{self.span.end:.3f}", "step": f"{self.step}s"}
        return self._get("query_range", query=self._filled(expr), **times)


def number(value: float, defaults: dict[str, Any]) -> str:
    """A value as its unit says."""
    unit = defaults["unit"]
    for mapping in defaults.get("mappings", []):
        if str(round(value)) in mapping["options"]:
            return mapping["options"][str(round(value))]["text"]
    if math.isnan(value):
        return "–"
    if unit == "percentunit":
        return f"{value * 100:.3g} %"
    if unit == "s":
        return f"{value * 1000:.3g} ms" if abs(value) < 1 else f"{value:.3g} s"
    if unit in ("reqps", "ops"):
        return f"{value:.3g} /s"
    if unit == "dateTimeFromNow":
        return f"in {(value / 1000 - time.time()) / 86400:.0f} days"
    return f"{value:.0f}" if defaults.get("decimals") == 0 else f"{value:.3g}"


def text(x: float, y: float, said: str, size: int = 12, colour: str = "#222", anchor: str = "start", weight: str = "normal") -> str:
    style = f'font-size="{size}" fill="{colour}" text-anchor="{anchor}" font-weight="{weight}"'
    return f'<text x="{x:.0f}" y="{y:.0f}" {style}>{html.escape(said)}</text>'


def legend(labels: dict[str, str], template: str) -> str:
    for name, value in labels.items():
        template = template.replace("{{" + name + "}}", value)
    return template or "all"


def colour_of(value: float, panel: dict[str, Any]) -> str:
    found = "green"
    for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"]:
        if step["value"] is None or value >= step["value"]:
            found = step["color"]
    return NAMED[found]


def drawn_stat(asked: Asked, panel: dict[str, Any], w: float, h: float) -> str:
    result = asked.now(panel["targets"][0]["expr"])
    if not result:
        return text(w / 2, h / 2 + 14, "no data", 20, "#888", "middle")
    value = float(result[0]["value"][1])
    box = f'<rect x="1" y="24" width="{w - 2:.0f}" height="{h - 25:.0f}" fill="{colour_of(value, panel)}"/>'
    return box + text(w / 2, h / 2 + 24, number(value, panel["fieldConfig"]["defaults"]), 28, "#fff", "middle", "bold")


def drawn_table(asked: Asked, panel: dict[str, Any], w: float, h: float) -> str:
    """Rows of the organised columns; of several targets those with equal labels share a row, as Grafana's merge has it."""
    (organised,) = [each["options"] for each in panel["transformations"] if each["id"] == "organize"]
    columns = organised["renameByName"]
    several = len(panel["targets"]) > 1
    rows: list[list[str]] = []
    for target in panel["targets"]:
        for sample in asked.now(target["expr"]):
            values = dict(sample["metric"])
            name = f"Value #{target['refId']}" if several else "Value"
            values[name] = number(float(sample["value"][1]), panel["fieldConfig"]["defaults"])
            rows.append([values.get(column, "") for column in columns])
    if not rows:
        return text(w / 2, h / 2, "no data", 14, "#888", "middle")
    widths = [max(len(row[nth]) for row in [*rows, list(columns.values())]) + 2 for nth in range(len(columns))]
    starts = [12 + sum(widths[:nth]) / sum(widths) * (w - 24) for nth in range(len(widths))]
    lines = [text(x, 42, head, 12, "#555", weight="bold") for x, head in zip(starts, columns.values(), strict=True)]
    shown = rows[: int((h - 50) / 18)]
    for nth, row in enumerate(shown):
        lines += [text(x, 62 + 18 * nth, cell) for x, cell in zip(starts, row, strict=True)]
    return "".join(lines)


def pieces(points: list[tuple[float, float]], gap: float) -> list[list[tuple[float, float]]]:
    """The points, cut where there is none for longer than `gap`: a line across would be invented."""
    found = [points[:1]]
    for before, point in zip(points, points[1:], strict=False):
        if point[0] - before[0] > gap:
            found.append([])
        found[-1].append(point)
    return found


def drawn_graph(asked: Asked, panel: dict[str, Any], marks: list[tuple[float, str]], w: float, h: float) -> str:
    defaults = panel["fieldConfig"]["defaults"]
    series = [
        (legend(one["metric"], target["legendFormat"]), [(float(t), float(v)) for t, v in one["values"] if v not in ("NaN", "+Inf")])
        for target in panel["targets"]
        for one in asked.over_time(target["expr"])
    ]
    series = [(name, points) for name, points in series if points]
    if not series:
        return text(w / 2, h / 2, "no data", 14, "#888", "middle")
    shown = series[:6]
    left, top, right, bottom = 70.0, 32.0, w - 12, h - 26 - 15 * len(shown)
    limit = [s["value"] for s in defaults["thresholds"]["steps"] if s["value"] is not None]
    highest = max(v for _, points in series for _, v in points)
    # A threshold far above everything would flatten the lines; it is named in the legend's place then.
    ceiling = max([highest, *(each for each in limit if each <= 3 * highest or not highest)], default=1) * 1.1 or 1
    if defaults.get("decimals") == 0:
        ceiling = 2 * math.ceil(ceiling / 2)  # so that half of it is whole, too
    span = asked.span

    def at(t: float, v: float) -> tuple[float, float]:
        return left + (t - span.start) / (span.end - span.start) * (right - left), bottom - v / ceiling * (bottom - top)

    parts = []
    for share in (0, 0.5, 1):
        _, y = at(span.start, ceiling * share)
        parts.append(f'<line x1="{left:.0f}" x2="{right:.0f}" y1="{y:.0f}" y2="{y:.0f}" stroke="#ddd"/>')
        parts.append(text(left - 6, y + 4, number(ceiling * share, defaults), 11, "#555", "end"))
    for when in (0, 0.5, 1):
        seconds = round((span.end - span.start) * when)
        parts.append(text(left + when * (right - left), bottom + 14, f"{seconds} s", 11, "#555", "middle"))
    for each in limit:
        _, y = at(span.start, each)
        if each <= ceiling:
            parts.append(f'<line x1="{left:.0f}" x2="{right:.0f}" y1="{y:.1f}" y2="{y:.1f}" stroke="{NAMED["red"]}" stroke-dasharray="6 4"/>')
        else:
            parts.append(text(right, top + 10, f"threshold {number(each, defaults)}", 11, NAMED["red"], "end"))
    for t, colour in marks:
        x, _ = at(t, 0)
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top:.0f}" y2="{bottom:.0f}" stroke="{NAMED[colour]}" stroke-width="1.5" stroke-dasharray="2 3"/>')
    for nth, (name, points) in enumerate(shown):
        for piece in pieces(points, 3 * asked.step):
            path = " ".join("{:.1f},{:.1f}".format(*at(t, v)) for t, v in piece)
            parts.append(f'<polyline points="{path}" fill="none" stroke="{COLOURS[nth % len(COLOURS)]}" stroke-width="1.6"/>')
        y = bottom + 30 + 15 * nth
        parts.append(f'<rect x="{left:.0f}" y="{y - 8:.0f}" width="14" height="4" fill="{COLOURS[nth % len(COLOURS)]}"/>')
        more = f" and {len(series) - len(shown)} more" if nth == len(shown) - 1 and len(series) > len(shown) else ""
        last = number(points[-1][1], defaults)
        parts.append(text(left + 20, y, f"{name}: {last} at the end, {number(max(v for _, v in points), defaults)} at most{more}", 11))
    return "".join(parts)


def events(asked: Asked, model: dict[str, Any]) -> list[tuple[float, str, str]]:
    """(time, colour, what) of every annotation: the moment at which its expression begins to give something."""
    found = []
    for each in model["annotations"]["list"]:
        for one in asked.over_time(each["expr"]):
            title = f'{legend(one["metric"], each["titleFormat"])}: {legend(one["metric"], each["textFormat"])}'
            before = -math.inf
            for t, _ in one["values"]:
                if t - before > 3 * asked.step:
                    found.append((float(t), each["iconColor"], title))
                before = t
    return sorted(found)


def dashboard(asked: Asked, model: dict[str, Any]) -> str:
    """One dashboard as SVG."""
    happened = events(asked, model)
    marks = [(t, colour) for t, colour, _ in happened]
    height = 64 + 16 * len(happened) + max(p["gridPos"]["y"] + p["gridPos"]["h"] for p in model["panels"]) * UNIT
    body = [text(12, 26, model["title"], 20, weight="bold")]
    body.append(text(12, 46, f"{NOT_GRAFANA}. The last {asked.span.end - asked.span.start:.0f} s.", 12, "#555"))
    for nth, (t, colour, what) in enumerate(happened):
        body.append(text(12, 64 + 16 * nth, f"┊ {t - asked.span.start:.0f} s: {what}", 12, NAMED[colour]))
    for panel in model["panels"]:
        place = panel["gridPos"]
        x, y = place["x"] * COLUMN + GAP, place["y"] * UNIT + 60 + 16 * len(happened)
        w, h = place["w"] * COLUMN - GAP, place["h"] * UNIT - GAP
        if panel["type"] == "row":
            body.append(text(x, y + 18, panel["title"], 14, "#333", weight="bold"))
            continue
        inside = {
            "stat": lambda p=panel, w=w, h=h: drawn_stat(asked, p, w, h),
            "table": lambda p=panel, w=w, h=h: drawn_table(asked, p, w, h),
            "timeseries": lambda p=panel, w=w, h=h: drawn_graph(asked, p, marks, w, h),
        }[panel["type"]]()
        frame = f'<rect width="{w}" height="{h}" rx="3" fill="#fff" stroke="#ccc"/>'
        name = f"<title>{html.escape(panel['description'])}</title>"
        body.append(f'<g transform="translate({x},{y})">{name}{frame}{text(8, 17, panel["title"], 13, weight="bold")}{inside}</g>\n')
    size = f'viewBox="0 0 {24 * COLUMN + 2 * GAP} {height}" width="{24 * COLUMN + 2 * GAP}" height="{height}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif"><rect width="100%" height="100%" fill="#f4f5f5"/>\n{"".join(body)}</svg>\n'


def drawn(prometheus: str, seconds: float, rate_interval: str = "15s") -> dict[str, str]:
    """Every dashboard by name."""
    now = time.time()
    asked = Asked(prometheus, Span(now - seconds, now), rate_interval)
    return {path.stem: dashboard(asked, json.loads(path.read_text())) for path in sorted(HERE.glob("*.json"))}


def main() -> int:
    if len(sys.argv) != 4:
        print(__doc__, file=sys.stderr)
        return 2
    folder = pathlib.Path(sys.argv[3])
    folder.mkdir(parents=True, exist_ok=True)
    for name, svg in drawn(sys.argv[1], float(sys.argv[2])).items():
        (folder / f"{name}.svg").write_text(svg)
    return 0


if __name__ == "__main__":
    sys.exit(main())
