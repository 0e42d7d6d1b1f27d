"""One table, the verdicts, and the same as JSON and Markdown. Shows what failed; hides nothing."""

from __future__ import annotations

import json
import pathlib
from dataclasses import asdict

from .scenarios import CLOSED, Sample
from .settings import BENCH, OUT, Settings
from .targets import Verdict, good, highest_held, median, ratios, values

TITLES = {
    "h1": "HTTP/1.1 keep-alive",
    "tls-h1": "TLS + HTTP/1.1",
    "tls-h2": "TLS + HTTP/2",
    "body-64k": "64 KiB bodies",
    "body-1m": "1 MiB bodies",
}
COMPARED = ("cpu_us", "rps", "p99_us", "rss_mib")


def summarise(samples: list[Sample], peers: tuple[str, ...]) -> list[dict[str, object]]:
    """One row per scenario and peer: medians over the good rounds, and thalweg ÷ peer."""
    rows = []
    for scenario in dict.fromkeys(s.scenario for s in samples):
        for peer in peers:
            every = [s for s in samples if s.scenario == scenario and s.peer == peer]
            if not every:
                continue
            names = dict.fromkeys(name for s in every for name in s.figures)
            row: dict[str, object] = {"scenario": scenario, "peer": peer, "rounds": len(good(samples, scenario, peer)),
                                      "failed_rounds": sum(s.failure is not None for s in every),
                                      "not_held": sum(s.detail.get("held") is False for s in every)}  # fmt: skip
            for name in names:
                found = values(samples, scenario, peer, name)
                row[name] = median(found)
                row[f"{name}_spread"] = [min(found), max(found)] if found else None
                if peer != "thalweg" and scenario != "reload":
                    row[f"{name}_ratio"] = median(ratios(samples, scenario, name, peer))
            rows.append(row)
    return rows


def table(rows: list[dict[str, object]]) -> str:
    head = ("scenario", "peer", "CPU µs/req", "req/s", "p50 ms", "p99 ms", "RSS MiB", "thalweg ÷ peer: CPU", "req/s", "p99", "RSS", "rounds")
    lines = []
    for row in rows:
        if "cpu_us" not in row and row["scenario"] in ("idle", "reload"):
            continue
        times = [None if row.get(key) is None else row[key] / 1000 for key in ("p50_us", "p99_us")]
        lines.append((
            title(row["scenario"]), row["peer"], number(row.get("cpu_us"), 1), number(row.get("rps"), 0),
            *(number(time, 2) for time in times), number(row.get("rss_mib"), 1),
            *(number(row.get(f"{key}_ratio"), 2) for key in COMPARED), rounds(row),
        ))  # fmt: skip
    text = grid(head, lines) if lines else ""
    idle = [row for row in rows if row["scenario"] == "idle"]
    if idle:
        head = ("idle memory", "RSS MiB, three pools", "B per silent connection", "B per connection used once", "thalweg ÷ peer: RSS", "silent", "used", "rounds")
        keys = ("idle_rss_mib", "silent_bytes", "used_bytes")
        text += "\n" + grid(head, [
            (row["peer"], number(row.get(keys[0]), 1), number(row.get(keys[1]), 0), number(row.get(keys[2]), 0),
             *(number(row.get(f"{key}_ratio"), 2) for key in keys), rounds(row)) for row in idle
        ])  # fmt: skip
    for row in rows:
        if row["scenario"] == "reload" and row.get("reload_ms") is not None:
            text += (f"\nreload, 1,000 pools × 10 endpoints: median {row['reload_ms']:.0f} ms, worst {row['reload_ms_spread'][1]:.0f} ms of {rounds(row)}; "
                     f"failed requests {row['failed']:.0f}; p99 {row['p99_us'] / 1000:.2f} ms; RSS {row['rss_mib']:.1f} MiB\n")  # fmt: skip
    return text


def verdict_table(verdicts: list[Verdict]) -> str:
    head = ("target", "limit", "measured", "verdict", "rounds")
    return grid(head, [
        (v.target.what, f"≤ {v.target.limit:g} {v.target.unit}".strip(), measured(v), v.verdict, str(v.rounds)) for v in verdicts
    ])  # fmt: skip


def measured(verdict: Verdict) -> str:
    if verdict.value is None:
        return "–"
    places = 3 if verdict.target.unit == "×" else 1
    return f"{verdict.value:.{places}f} {verdict.target.unit}".strip()


def warnings(samples: list[Sample], missing: dict[str, str], settings: Settings) -> list[str]:
    found = [f"{name} took no part: {why}" for name, why in missing.items()]
    found += [f"{s.scenario} {s.peer} round {s.round + 1} failed and is not counted: {s.failure}" for s in samples if s.failure]
    foreign = [s.detail["foreign_share"] for s in samples if "foreign_share" in s.detail]
    noisy = sum(share > 0.05 for share in foreign)
    if noisy:
        found.append(f"in {noisy} of {len(foreign)} windows something else used more than 5 % of the proxy core: "
                     "these figures are not worth quoting")  # fmt: skip
    ciphers = {(s.peer, s.detail.get("Cipher"), s.detail.get("Server Temp Key")) for s in samples if "Cipher" in s.detail}
    if len({one[1:] for one in ciphers}) > 1:
        found.append("the peers negotiated different TLS: " + "; ".join(f"{p}: {c}, {k}" for p, c, k in sorted(ciphers, key=str)))
    if any(s.scenario.startswith("open-") for s in samples) and not highest_held(samples):
        found.append("no open-loop level was held: the p99 target cannot be judged")
    if settings.proxy_core == settings.load_core:
        found.append("proxy and load share one core: rates and latencies mean nothing")
    if settings.quick or settings.rounds < 5:
        found.append(f"{settings.rounds} round(s) of {settings.duration_s:g} s: a sanity run, not a result")
    return found


def write_json(document: dict[str, object], samples: list[Sample]) -> pathlib.Path:
    path = OUT / "result.json"
    path.write_text(json.dumps({**document, "samples": [asdict(s) for s in samples]}, indent=1, ensure_ascii=False) + "\n")
    return path


def write_markdown(text: str, machine: dict[str, object], versions: dict[str, str], settings: Settings) -> pathlib.Path:
    path = BENCH / "RESULTS.md"
    peers = "\n".join(f"- {name}: {version}" for name, version in versions.items())
    path.write_text(
        f"# Bench results\n\nWritten by `bench/run.sh --write`: {settings.rounds} rounds of {settings.duration_s:g} s, medians; "
        f"{machine['cpu']}, {machine['cores']} cores, Linux {machine['kernel']}. How it is measured: [README.md](README.md).\n\n"
        f"{peers}\n\n```\n{text}\n```\n"
    )
    return path


def title(scenario: str) -> str:
    if scenario.startswith("open-"):
        return f"open loop, {scenario[5:]} % of nginx's peak"
    return TITLES[scenario] if scenario in CLOSED else scenario


def number(value: float | None, places: int) -> str:
    return "–" if value is None else f"{value:,.{places}f}"


def rounds(row: dict[str, object]) -> str:
    text = str(row["rounds"])
    if row["not_held"]:
        text += f" ({row['not_held']} not held)"
    if row["failed_rounds"]:
        text += f" ({row['failed_rounds']} FAILED)"
    return text


def grid(head: tuple[str, ...], lines: list[tuple[str, ...]]) -> str:
    widths = [max(len(line[n]) for line in [head, *lines]) for n in range(len(head))]
    left = {0, 1}

    def row(cells: tuple[str, ...]) -> str:
        return "  ".join(c.ljust(w) if n in left else c.rjust(w) for n, (c, w) in enumerate(zip(cells, widths))).rstrip()

    out = [row(head), "  ".join("─" * w for w in widths)]
    before = None
    for line in lines:
        out.append(row((line[0] if line[0] != before else "", *line[1:])))
        before = line[0]
    return "\n".join(out) + "\n"
