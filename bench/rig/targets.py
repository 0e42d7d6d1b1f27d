"""The figures to reach, and whether they were. A target that could not be measured is neither reached nor missed."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass

from .scenarios import Sample


@dataclass(frozen=True)
class Target:
    what: str
    scenario: str  # "open" stands for the highest level that was held
    figure: str
    limit: float
    unit: str
    against: str | None = None  # a peer: the figure is a ratio; None: Thalweg's own figure


CPU = (
    ("HTTP/1.1, 100 B", "h1", {"nginx": 0.75, "HAProxy": 0.75, "Envoy": 0.20}),
    ("TLS + HTTP/1.1, 100 B", "tls-h1", {"nginx": 0.80, "HAProxy": 0.80, "Envoy": 0.20}),
    ("TLS + HTTP/2, 100 B", "tls-h2", {"HAProxy": 1.0, "Envoy": 0.20}),
    ("TLS + HTTP/2, 16 KiB", "tls-h2-16k", {"HAProxy": 0.9, "Envoy": 0.20}),
    ("HTTP/1.1, 64 KiB", "body-64k", {"nginx": 0.85, "Envoy": 0.20}),
    ("HTTP/1.1, 1 MiB", "body-1m", {"nginx": 0.85, "Envoy": 0.20}),
)
ATTACKED = (
    ("CPU per byte beside honest requests", "byte_ratio", 4.0, "×"),
    ("p99 of others beside calm", "p99_ratio", 2.0, "×"),
    ("the slowest end of a connection", "ended_ms", 1000, "ms"),
)
TARGETS = (
    *(
        Target(f"CPU per request, {what}, to {peer}", scenario, "cpu_us", limit, "×", peer.lower())
        for what, scenario, limits in CPU
        for peer, limit in limits.items()
    ),
    Target("p99 at the highest level held open-loop, to nginx", "open", "p99_us", 1.0, "×", "nginx"),
    Target("CPU per resumed TLS 1.3 handshake, to nginx", "handshake-resumed", "cpu_us", 1.0, "×", "nginx"),
    Target("CPU of a PROXY header, per connection", "proxy-header", "header_us", 1.0, "µs"),
    Target("CPU per request, HTTP/2 to the endpoint beside HTTP/1.1", "h2-endpoints", "cpu_ratio", 0.95, "×"),
    *(
        Target(f"attack by {kind}: {what}", f"attack-{kind}", figure, limit, unit)
        for kind in ("rapid-reset", "continuation", "ping", "settings", "byte-updates", "zero-window")
        for what, figure, limit, unit in ATTACKED
        if figure != "ended_ms" or kind != "zero-window"
    ),
    Target("p99 with 10,000 slow heads beside calm", "slow-heads", "p99_ratio", 1.5, "×"),
    Target("RSS per slow head", "slow-heads", "bytes_each", 1024, "B"),
    Target("CPU per request, 10,000 endpoints beside 3", "endpoints", "cpu_ratio", 1.1, "×"),
    Target("RSS idle with three pools", "idle", "idle_rss_mib", 10, "MiB"),
    Target("RSS per silent plaintext connection", "idle", "silent_bytes", 614, "B"),
    Target("RSS per connection after one request on it", "idle", "used_bytes", 1024, "B"),
    Target("reload of 1,000 pools × 10 endpoints, POST to answer", "reload", "reload_ms", 250, "ms"),
    Target("failed requests during the reloads", "reload", "failed", 0, ""),
)


@dataclass(frozen=True)
class Verdict:
    target: Target
    value: float | None
    verdict: str
    rounds: int

    def as_json(self) -> dict[str, object]:
        return {**asdict(self.target), "value": self.value, "verdict": self.verdict, "rounds": self.rounds}


def good(samples: list[Sample], scenario: str, peer: str) -> list[Sample]:
    return [s for s in samples if s.scenario == scenario and s.peer == peer and s.failure is None and not s.disturbed]


def values(samples: list[Sample], scenario: str, peer: str, figure: str) -> list[float]:
    return [s.figures[figure] for s in good(samples, scenario, peer) if figure in s.figures]


def median(numbers: list[float]) -> float | None:
    return statistics.median(numbers) if numbers else None


def ratios(samples: list[Sample], scenario: str, figure: str, peer: str, subject: str) -> list[float]:
    """Subject ÷ peer, round by round: what drifts between rounds drifts for both."""
    theirs = {s.round: s.figures.get(figure) for s in good(samples, scenario, peer)}
    ours = {s.round: s.figures.get(figure) for s in good(samples, scenario, subject)}
    return [ours[n] / theirs[n] for n in ours if theirs.get(n) and ours[n] is not None]


def highest_held(samples: list[Sample]) -> str | None:
    """The highest open-loop level at which the generator held nginx in most rounds."""
    best = None
    for level in sorted({s.scenario for s in samples if s.scenario.startswith("open-")}):
        held = [bool(s.detail.get("held")) for s in samples if s.scenario == level and s.peer == "nginx"]
        if held and sum(held) * 2 > len(held):
            best = level
    return best


def judge(samples: list[Sample], subject: str = "thalweg") -> list[Verdict]:
    """One verdict per target, about `subject`: the plain or the trained Thalweg."""
    return [judge_one(samples, target, subject) for target in TARGETS]


def judge_one(samples: list[Sample], target: Target, subject: str) -> Verdict:
    scenario = highest_held(samples) if target.scenario == "open" else target.scenario
    if target.against:
        found = ratios(samples, scenario, target.figure, target.against, subject) if scenario else []
    else:
        found = values(samples, scenario, subject, target.figure)
    value = median(found)
    if value is None:
        return Verdict(target, None, "not measured", 0)
    return Verdict(target, value, "reached" if value <= target.limit else "NOT REACHED", len(found))
