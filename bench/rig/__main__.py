"""One run from start to end: peers up, scenarios in turn, one table, verdicts, JSON. `--write` also writes RESULTS.md.

Exit code: 0 when everything asked for was measured, 1 when a peer or a round failed. A missed target is a result, not a failure.
"""

from __future__ import annotations

import resource
import signal
import sys
import time

from . import front_door, load, measure, peers, report, scenarios, settings, targets
from .scenarios import Rig, Sample


def main(arguments: list[str]) -> int:
    unknown = set(arguments) - {"--write"}
    if unknown:
        print("usage: run.sh [--write]   (environment: see bench/README.md)", file=sys.stderr)
        return 2
    chosen = settings.from_environment()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is stopped
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    settings.OUT.mkdir(exist_ok=True)
    peers.make_certificate()

    versions = {name: peers.version(name, chosen) for name in chosen.peers}
    machine = measure.machine()
    for name, version in versions.items():
        print(f"{name:15} {version}")
    started = time.monotonic()
    samples, missing, not_measured = run(chosen)

    rows = report.summarise(samples, chosen.peers, chosen.subject)
    verdicts = targets.judge(samples, chosen.subject)
    text = report.table(rows, chosen.subject) + "\n" + report.verdict_table(verdicts, versions.get(chosen.subject, "nothing, thalweg took no part"))
    notes = report.warnings(samples, missing, not_measured, chosen)
    text += "".join(f"\n!! {note}" for note in notes)
    print("\n" + text)
    path = report.write_json(
        {"machine": machine, "versions": versions, "rounds": chosen.rounds, "duration_s": chosen.duration_s,
         "took_s": round(time.monotonic() - started), "missing": missing, "not_measured": not_measured, "subject": chosen.subject, "warnings": notes,
         "open_level_judged": targets.highest_held(samples), "rows": rows,
         "verdicts": [verdict.as_json() for verdict in verdicts]},
        samples,
    )  # fmt: skip
    print(f"\nJSON: {path.relative_to(settings.BENCH.parent)}")
    if "--write" in arguments:
        print(f"Markdown: {report.write_markdown(text, machine, versions, chosen).relative_to(settings.BENCH.parent)}")
    return 1 if missing or any(sample.failure for sample in samples) else 0


def run(chosen: settings.Settings) -> tuple[list[Sample], dict[str, str], dict[str, str]]:
    """All samples, the peers that took no part, and the scenarios that this machine cannot run; both with reasons."""
    samples: list[Sample] = []
    with load.Endpoint(chosen) as endpoint:
        rig = Rig(chosen, endpoint)
        try:
            missing = rig.start_all(chosen.peers)
            for name in chosen.scenarios:
                for sample in scenario(rig, name, samples):
                    samples.append(sample)
                    progress(sample)
        finally:
            rig.stop_all()
            load.kill_leftovers()
    return samples, missing, rig.not_measured


def scenario(rig: Rig, name: str, samples: list[Sample]):
    if name in scenarios.CLOSED:
        many = scenarios.CLOSED[name].workers > 1
        return (scenarios.two_workers if many else scenarios.closed)(rig, name)
    if name.startswith("handshake-"):
        return scenarios.handshakes(rig, name)
    if front_door.is_of_the_door(name):
        return front_door.scenario(rig, name)
    if name == "endpoints":
        return scenarios.endpoints(rig, name)
    if name == "open":
        return scenarios.open_loop(rig, peak(rig, samples))
    return {"idle": scenarios.idle, "reload": scenarios.reload}[name](rig)


def peak(rig: Rig, samples: list[Sample]) -> float:
    """Nginx's median closed-loop rate over HTTP/1.1 in this run; measured now if it was not before."""
    reference = "nginx" if "nginx" in rig.running else next(iter(rig.running), "")
    found = targets.values(samples, "h1", reference, "rps")
    if not found and reference:
        found = [s.figures["rps"] for s in scenarios.closed(rig, "h1") if s.peer == reference and not s.failure]
    return targets.median(found) or 1000.0


def progress(sample: Sample) -> None:
    figures = " ".join(f"{name}={value:.1f}" for name, value in sample.figures.items())
    verdict = " DISTURBED, not counted" if sample.disturbed else ""
    print(f"  {sample.scenario:17} {sample.peer:15} round {sample.round + 1}  {figures or 'FAILED'}{verdict}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
