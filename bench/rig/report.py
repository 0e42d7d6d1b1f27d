"""One table, the verdicts, and the same as JSON and Markdown. Shows what failed; hides nothing."""

from __future__ import annotations

import json
import pathlib
from dataclasses import asdict

from .front_door import is_of_the_door, sentence
from .scenarios import FOREIGN_LIMIT, Sample
from .settings import BENCH, OUT, TRAINED, Settings
from .targets import Verdict, good, highest_held, median, ratios, values

TITLES = {
    "h1": "HTTP/1.1, 100 B",
    "h1-1k": "HTTP/1.1, 1 KiB",
    "h1-16k": "HTTP/1.1, 16 KiB",
    "tls-h1": "TLS + HTTP/1.1, 100 B",
    "tls-h1-1k": "TLS + HTTP/1.1, 1 KiB",
    "tls-h1-16k": "TLS + HTTP/1.1, 16 KiB",
    "tls-h2": "TLS + HTTP/2, 100 B",
    "tls-h2-1k": "TLS + HTTP/2, 1 KiB",
    "tls-h2-16k": "TLS + HTTP/2, 16 KiB",
    "body-64k": "HTTP/1.1, 64 KiB",
    "body-1m": "HTTP/1.1, 1 MiB",
    "h1-2w": "HTTP/1.1, 100 B, 2 workers",
    "handshake-full": "TLS 1.3, full",
    "handshake-resumed": "TLS 1.3, resumed",
    "key-exchange": "TLS 1.3, hybrid key exchange",
    "proxy-header": "PROXY header",
    "h2-endpoints": "HTTP/2 to the endpoint, 64 streams",
    "tcp-1m": "TCP pass-through, 1 MiB",
    "slow-heads": "10,000 slow heads",
}
COMPARED = ("cpu_us", "rps", "p99_us", "rss_mib")


def summarise(samples: list[Sample], peers: tuple[str, ...], subject: str) -> list[dict[str, object]]:
    """One row per scenario and peer: medians over the good rounds, and subject ÷ peer."""
    rows = []
    for scenario in dict.fromkeys(s.scenario for s in samples):
        for peer in peers:
            every = [s for s in samples if s.scenario == scenario and s.peer == peer]
            if not every:
                continue
            names = dict.fromkeys(name for s in every for name in s.figures)
            row: dict[str, object] = {"scenario": scenario, "peer": peer, "rounds": len(good(samples, scenario, peer)),
                                      "failed_rounds": sum(s.failure is not None for s in every),
                                      "disturbed_rounds": sum(s.disturbed for s in every),
                                      "not_held": sum(s.detail.get("held") is False for s in every)}  # fmt: skip
            for name in names:
                found = values(samples, scenario, peer, name)
                row[name] = median(found)
                row[f"{name}_spread"] = [min(found), max(found)] if found else None
                if peer != subject:
                    row[f"{name}_ratio"] = median(ratios(samples, scenario, name, peer, subject))
            rows.append(row)
    return rows


def table(rows: list[dict[str, object]], subject: str) -> str:
    """The requests, then a table each for handshakes and idle memory, then a line each for many endpoints and the reload."""
    of = {kind: [row for row in rows if row["scenario"].startswith(kind)] for kind in ("handshake", "idle", "endpoints", "reload")}
    of["door"] = [row for row in rows if is_of_the_door(str(row["scenario"]))]
    apart = [row for rows_of_kind in of.values() for row in rows_of_kind]
    parts = [
        requests_table([row for row in rows if row not in apart], subject),
        handshake_table(of["handshake"], subject),
        door_table(of["door"]),
        idle_table(of["idle"], subject),
        *(endpoints_line(row) for row in of["endpoints"] if row.get("cpu_ratio") is not None),
        *(reload_line(row) for row in of["reload"] if row.get("reload_ms") is not None),
    ]
    return "\n".join(part for part in parts if part)


def requests_table(rows: list[dict[str, object]], subject: str) -> str:
    head = ("scenario", "peer", "CPU µs/req", "user", "system", "req/s", "p50 ms", "p99 ms", "RSS MiB",
            f"{subject} ÷ peer: CPU", "req/s", "p99", "RSS", "rounds")  # fmt: skip
    lines = []
    for row in rows:
        times = [None if row.get(key) is None else row[key] / 1000 for key in ("p50_us", "p99_us")]
        lines.append((
            title(row["scenario"]), row["peer"], *(number(row.get(key), 1) for key in ("cpu_us", "user_us", "system_us")),
            number(row.get("rps"), 0), *(number(time, 2) for time in times), number(row.get("rss_mib"), 1),
            *(number(row.get(f"{key}_ratio"), 2) for key in COMPARED), rounds(row),
        ))  # fmt: skip
    return grid(head, lines) if lines else ""


def handshake_table(rows: list[dict[str, object]], subject: str) -> str:
    head = ("handshakes, with one request each", "peer", "per second of CPU", "CPU µs", "user", "system", f"{subject} ÷ peer: CPU", "rounds")
    lines = [
        (title(row["scenario"]), row["peer"], number(row.get("per_cpu_s"), 0),
         *(number(row.get(key), 1) for key in ("cpu_us", "user_us", "system_us")), number(row.get("cpu_us_ratio"), 2), rounds(row))
        for row in rows
    ]  # fmt: skip
    return grid(head, lines) if lines else ""


def door_table(rows: list[dict[str, object]]) -> str:
    lines = [(title(row["scenario"]), row["peer"], sentence(row), rounds(row)) for row in rows]
    return grid(("front door", "peer", "", "rounds"), lines, left=frozenset({0, 1, 2})) if lines else ""


def idle_table(rows: list[dict[str, object]], subject: str) -> str:
    head = ("idle memory", "RSS MiB, three pools", "B per silent connection", "B per connection used once",
            f"{subject} ÷ peer: RSS", "silent", "used", "rounds")  # fmt: skip
    keys = ("idle_rss_mib", "silent_bytes", "used_bytes")
    lines = [
        (row["peer"], *(number(row.get(key), places) for key, places in zip(keys, (1, 0, 0))),
         *(number(row.get(f"{key}_ratio"), 2) for key in keys), rounds(row))
        for row in rows
    ]  # fmt: skip
    return grid(head, lines, left=frozenset({0})) if lines else ""


def endpoints_line(row: dict[str, object]) -> str:
    return (f"10,000 endpoints in 100 pools beside 3 endpoints, HTTP/1.1, 100 B: {row['many_cpu_us']:.1f} and {row['few_cpu_us']:.1f} µs of CPU per request, "
            f"{row['cpu_ratio']:.2f} ×; RSS {row['many_rss_mib']:.1f} and {row['few_rss_mib']:.1f} MiB; rounds {rounds(row)}\n")  # fmt: skip


def reload_line(row: dict[str, object]) -> str:
    return (f"reload, 1,000 pools × 10 endpoints: median {row['reload_ms']:.0f} ms, worst {row['reload_ms_spread'][1]:.0f} ms of {rounds(row)}; "
            f"failed requests {row['failed']:.0f}; p99 {row['p99_us'] / 1000:.2f} ms; RSS {row['rss_mib']:.1f} MiB\n")  # fmt: skip


def verdict_table(verdicts: list[Verdict], build: str) -> str:
    """`build`: version and build of the binary that is judged."""
    head = ("target", "limit", "measured", "verdict", "rounds")
    return f"judged: {build}\n" + grid(head, [
        (v.target.what, f"≤ {v.target.limit:g} {v.target.unit}".strip(), measured(v), v.verdict, str(v.rounds)) for v in verdicts
    ])  # fmt: skip


def measured(verdict: Verdict) -> str:
    if verdict.value is None:
        return "–"
    places = 3 if verdict.target.unit == "×" else 1
    return f"{verdict.value:.{places}f} {verdict.target.unit}".strip()


def warnings(samples: list[Sample], missing: dict[str, str], not_measured: dict[str, str], settings: Settings) -> list[str]:
    found = [f"{name} took no part: {why}" for name, why in missing.items()]
    found += [f"{title(name)} ({name}) was not measured: {why}" for name, why in not_measured.items()]
    found += [f"{s.scenario} {s.peer} round {s.round + 1} failed and is not counted: {s.failure}" for s in samples if s.failure]
    found += disturbances(samples, settings)
    if settings.trained_bin.exists() and settings.subject == "thalweg":
        found.append("the trained build took no part (BENCH_TRAINED, PEERS)")
    if settings.subject == TRAINED and older(settings.trained_bin, settings.plain_bin):
        found.append("the trained build is older than the plain one: perhaps not of the same source (make release)")
    ciphers = {(s.peer, s.detail.get("Cipher"), s.detail.get("Server Temp Key")) for s in samples if "Cipher" in s.detail}
    if len({one[1:] for one in ciphers}) > 1:
        found.append("the peers negotiated different TLS: " + "; ".join(f"{p}: {c}, {k}" for p, c, k in sorted(ciphers, key=str)))
    if any(s.scenario.startswith("open-") for s in samples) and not highest_held(samples):
        found.append("no open-loop level was held: the p99 target cannot be judged")
    if set(settings.proxy_cores) & set(settings.load_cores):
        found.append("proxy and load share one core: rates and latencies mean nothing")
    if settings.quick or settings.rounds < 5:
        found.append(f"{settings.rounds} round(s) of {settings.duration_s:g} s: a sanity run, not a result")
    return found


def older(one: pathlib.Path, other: pathlib.Path) -> bool:
    return one.exists() and other.exists() and one.stat().st_mtime < other.stat().st_mtime


def disturbances(samples: list[Sample], settings: Settings) -> list[str]:
    """What other processes did to the windows: measured again, given up, or (in a quick run) only noted."""
    windows = [s for s in samples if "foreign_share" in s.detail]
    given_up = [s for s in windows if s.disturbed]
    again = sum(len(s.detail.get("disturbed_shares", ())) for s in windows)
    noted = sum(s.detail["foreign_share"] > FOREIGN_LIMIT and not s.disturbed for s in windows)
    limit, found = f"more than {FOREIGN_LIMIT:.0%} of the proxy's cores", []
    if noted:
        found.append(f"in {noted} of {len(windows)} windows something else used {limit}: these figures are not worth quoting")
    if again:
        found.append(f"{again} windows were thrown away because something else used {limit}")
    if given_up:
        rows = sorted({f"{s.scenario} {s.peer}" for s in given_up})
        found.append(f"{len(given_up)} rounds were disturbed {settings.repeats + 1} times and are not counted: {', '.join(rows)}")
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
    if scenario.startswith("attack-"):
        return f"attack by {scenario[7:]}"
    return TITLES.get(scenario, scenario)


def number(value: float | None, places: int) -> str:
    return "–" if value is None else f"{value:,.{places}f}"


def rounds(row: dict[str, object]) -> str:
    text = str(row["rounds"])
    if row["not_held"]:
        text += f" ({row['not_held']} not held)"
    if row["disturbed_rounds"]:
        text += f" ({row['disturbed_rounds']} DISTURBED)"
    if row["failed_rounds"]:
        text += f" ({row['failed_rounds']} FAILED)"
    return text


def grid(head: tuple[str, ...], lines: list[tuple[str, ...]], left: frozenset[int] = frozenset({0, 1})) -> str:
    widths = [max(len(line[n]) for line in [head, *lines]) for n in range(len(head))]

    def row(cells: tuple[str, ...]) -> str:
        return "  ".join(c.ljust(w) if n in left else c.rjust(w) for n, (c, w) in enumerate(zip(cells, widths))).rstrip()

    out = [row(head), "  ".join("─" * w for w in widths)]
    before = None
    for line in lines:
        out.append(row((line[0] if line[0] != before else "", *line[1:])))
        before = line[0]
    return "\n".join(out) + "\n"
