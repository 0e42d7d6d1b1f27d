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
    against: str | None = None  # a peer: the figure is a ratio; None: thalweg's own figure


TARGETS = (
    Target("CPU per request, HTTP/1.1, to nginx", "h1", "cpu_us", 1.05, "×", "nginx"),
    Target("CPU per request, HTTP/1.1, to Envoy", "h1", "cpu_us", 0.45, "×", "envoy"),
    Target("CPU per request, TLS + HTTP/2, to HAProxy", "tls-h2", "cpu_us", 1.15, "×", "haproxy"),
    Target("CPU per request, TLS + HTTP/2, to Envoy", "tls-h2", "cpu_us", 0.45, "×", "envoy"),
    Target("p99 at the highest level held open-loop, to nginx", "open", "p99_us", 1.10, "×", "nginx"),
    Target("RSS idle with three pools", "idle", "idle_rss_mib", 16, "MiB"),
    Target("RSS per silent plaintext connection", "idle", "silent_bytes", 8000, "B"),
    Target("RSS per connection after one request on it", "idle", "used_bytes", 12000, "B"),
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
    return [s for s in samples if s.scenario == scenario and s.peer == peer and s.failure is None]


def values(samples: list[Sample], scenario: str, peer: str, figure: str) -> list[float]:
    return [s.figures[figure] for s in good(samples, scenario, peer) if figure in s.figures]


def median(numbers: list[float]) -> float | None:
    return statistics.median(numbers) if numbers else None


def ratios(samples: list[Sample], scenario: str, figure: str, peer: str) -> list[float]:
    """Thalweg ÷ peer, round by round: what drifts between rounds drifts for both."""
    theirs = {s.round: s.figures.get(figure) for s in good(samples, scenario, peer)}
    ours = {s.round: s.figures.get(figure) for s in good(samples, scenario, "thalweg")}
    return [ours[n] / theirs[n] for n in ours if theirs.get(n) and ours[n] is not None]


def highest_held(samples: list[Sample]) -> str | None:
    """The highest open-loop level at which the generator held nginx in most rounds."""
    best = None
    for level in sorted({s.scenario for s in samples if s.scenario.startswith("open-")}):
        held = [bool(s.detail.get("held")) for s in samples if s.scenario == level and s.peer == "nginx"]
        if held and sum(held) * 2 > len(held):
            best = level
    return best


def judge(samples: list[Sample]) -> list[Verdict]:
    return [judge_one(samples, target) for target in TARGETS]


def judge_one(samples: list[Sample], target: Target) -> Verdict:
    scenario = highest_held(samples) if target.scenario == "open" else target.scenario
    if target.against:
        found = ratios(samples, scenario, target.figure, target.against) if scenario else []
    else:
        found = values(samples, scenario, "thalweg", target.figure)
    value = median(found)
    if value is None:
        return Verdict(target, None, "not measured", 0)
    return Verdict(target, value, "reached" if value <= target.limit else "NOT REACHED", len(found))
