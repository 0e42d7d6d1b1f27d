"""What is done to each proxy: closed-loop capacity, handshakes, open-loop latency, many endpoints, idle memory, a big reload.

Every scenario alternates the peers, starts each round with another one, and yields samples. A sample that failed, or that
another process disturbed each time it was measured, is kept and shown, but never counted.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from . import big_config, load, measure, peers
from .peers import Peer, PeerFailed
from .settings import Settings


FOREIGN_LIMIT = 0.05  # of the proxy's cores, used by other processes in a window
FEWEST_TICKS = 10  # of CPU time in a window: below, a tick more or less is more than 10 %


@dataclass
class Sample:
    scenario: str
    peer: str
    round: int
    figures: dict[str, float] = field(default_factory=dict)
    detail: dict[str, object] = field(default_factory=dict)
    failure: str | None = None
    disturbed: bool = False


@dataclass(frozen=True)
class Closed:
    """A closed-loop scenario: as many requests as go through."""

    path: str
    tls: bool = False
    h2: bool = False
    connections: int = 64
    streams: int = 1
    workers: int = 1


def small_answers(prefix: str, **shape) -> dict[str, Closed]:
    return {prefix + suffix: Closed(path, **shape) for suffix, path in (("", "/"), ("-1k", "/1k"), ("-16k", "/16k"))}


CLOSED = {
    **small_answers("h1"),
    **small_answers("tls-h1", tls=True),
    **small_answers("tls-h2", tls=True, h2=True, connections=16, streams=8),
    "body-64k": Closed("/64k", connections=32),
    "body-1m": Closed("/1m", connections=16),
    "h1-2w": Closed("/", workers=2),
}


class Rig:
    """Everything that runs: the endpoint, and whichever peers came up."""

    def __init__(self, settings: Settings, endpoint: load.Endpoint, workers: int = 1):
        self.settings = settings
        self.endpoint = endpoint
        self.workers = workers
        self.running: dict[str, Peer] = {}
        self.came_up: list[str] = []  # for the scenarios that start each peer afresh
        self.not_measured: dict[str, str] = {}  # scenario to the reason

    def start_all(self, names: Iterable[str]) -> dict[str, str]:
        missing = {}
        variant = "" if self.workers == 1 else f"-{self.workers}w"
        for name in names:
            try:
                peer = Peer(name, self.settings, self.endpoint.ports, self.workers, variant)
                peer.start()
                self.running[name] = peer
                self.came_up.append(name)
            except PeerFailed as why:
                missing[name] = str(why)
                shout(f"{name} takes no part: {why}")
        time.sleep(0 if not self.running else 2.5)  # every check has risen
        return missing

    def stop_all(self) -> None:
        for peer in self.running.values():
            peer.stop()
        self.running.clear()

    def rounds(self, names: list[str], rounds: int) -> Iterator[tuple[int, str]]:
        for number in range(rounds):
            for offset in range(len(names)):
                yield number, names[(number + offset) % len(names)]

    def sample(self, scenario: str, peer: str, number: int, work: Callable[[Sample], None]) -> Sample:
        """One sample. Measured again, up to `repeats` times, if something else used the proxy's cores meanwhile."""
        shares = []
        while True:
            sample = self.try_once(Sample(scenario, peer, number), work)
            share = sample.detail.get("foreign_share", 0.0)
            if sample.failure or share <= FOREIGN_LIMIT or self.settings.quick:
                break  # the figures of a quick run are not quoted anyway
            shares.append(share)
            sample.disturbed = len(shares) > self.settings.repeats
            if sample.disturbed:
                break
            shout(f"{scenario} {peer} round {number + 1}: others used {share:.0%} of the proxy's cores; measured again")
        if shares:
            sample.detail["disturbed_shares"] = shares
        return sample

    def try_once(self, sample: Sample, work: Callable[[Sample], None]) -> Sample:
        try:
            work(sample)
        except (load.LoadFailed, PeerFailed, OSError, ValueError) as why:
            sample.failure = f"{type(why).__name__}: {why}"
            shout(f"{sample.scenario} {sample.peer} round {sample.round + 1} FAILED and is not counted: {sample.failure}")
            self.revive(sample.peer)
        return sample

    def revive(self, name: str) -> None:
        peer = self.running.get(name)
        if peer and (peer.process is None or peer.process.poll() is not None or not peer.answers()):
            peer.stop()
            try:
                peer.start()
            except PeerFailed as why:
                shout(f"{name} is gone: {why}")
                del self.running[name]


def closed(rig: Rig, name: str) -> Iterator[Sample]:
    for number, peer in rig.rounds(list(rig.running), rig.settings.rounds):
        if peer in rig.running:
            yield rig.sample(name, peer, number, lambda s: closed_once(rig, CLOSED[name], rig.running[s.peer], s))


def closed_once(rig: Rig, shape: Closed, peer: Peer, sample: Sample, port: int | None = None) -> None:
    settings = rig.settings
    scheme, usual = ("https", peer.https) if shape.tls else ("http", peer.http)
    port = port or usual
    url = f"{scheme}://127.0.0.1:{port}{shape.path}"
    seconds = math.ceil(settings.warmup_s + settings.duration_s + 0.5)
    if shape.h2:
        process = load.start_h2load(settings, url, seconds, shape.connections, shape.streams)
    else:
        process = load.start_wrk(settings, url, seconds, shape.connections)
    time.sleep(settings.warmup_s)
    seen = watch(rig, peer, settings.duration_s)
    report = (load.finish_h2load if shape.h2 else load.finish_wrk)(process, seconds + 20)
    sample.figures = {
        **costs(seen),
        "rps": seen.rps,
        "p50_us": report.p50_us,
        "p99_us": report.p99_us,
        "rss_mib": measure.rss_bytes(peer.pids()) / 2**20,
    }
    sample.detail = {"proxy_share": seen.proxy_share, "foreign_share": seen.foreign_share, **report.detail}


def watch(rig: Rig, peer: Peer, seconds: float) -> measure.Window:
    """The counters over a window in which the load runs already, and still runs at its end."""
    pids, cores, counter = peer.pids(), peer.cores, rig.endpoint.ports[0]
    first = measure.read(pids, cores, counter)
    time.sleep(seconds)
    seen = measure.window(first, measure.read(pids, cores, counter), len(cores))
    if seen.requests == 0:
        raise load.LoadFailed("no request reached the endpoint")
    if seen.ticks < (1 if rig.settings.quick else FEWEST_TICKS):
        raise load.LoadFailed(f"the proxy used {seen.ticks} ticks of CPU in {seen.seconds:.1f} s: too few to divide")
    return seen


def costs(seen: measure.Window) -> dict[str, float]:
    return {"cpu_us": seen.cpu_us, "user_us": seen.user_us, "system_us": seen.system_us}


def two_workers(rig: Rig, name: str) -> Iterator[Sample]:
    """The peers once more, each with two workers on two cores; the load needs a third one."""
    cores = rig.settings.proxy_cores
    if len(cores) < 2:
        rig.not_measured[name] = "it takes three cores, two for the proxy and one for the load (PROXY_CORE, LOAD_CORE)"
        return
    pair = Rig(rig.settings, rig.endpoint, workers=2)
    try:
        for peer, why in pair.start_all(rig.came_up).items():
            yield Sample(name, peer, 0, failure=why)
        yield from closed(pair, name)
    finally:
        pair.stop_all()


def handshakes(rig: Rig, name: str) -> Iterator[Sample]:
    mode = name.removeprefix("handshake-")
    for number, peer in rig.rounds(list(rig.running), rig.settings.rounds):
        if peer in rig.running:
            yield rig.sample(name, peer, number, lambda s: handshakes_once(rig, mode, rig.running[s.peer], s))


def handshakes_once(rig: Rig, mode: str, peer: Peer, sample: Sample) -> None:
    """A connection is one request at the endpoint, so CPU per request is CPU per connection here."""
    settings = rig.settings
    seconds = settings.warmup_s + settings.duration_s + 1.5
    process = load.start_handshakes(settings, peer.https, mode, seconds)
    time.sleep(settings.warmup_s + 0.5)
    seen = watch(rig, peer, settings.duration_s)
    report = load.finish_handshakes(process, seconds + 20)
    sample.figures = {**costs(seen), "per_cpu_s": 1e6 / seen.cpu_us, "rps": seen.rps}
    sample.detail = {"proxy_share": seen.proxy_share, "foreign_share": seen.foreign_share, "report": report}


def endpoints(rig: Rig, name: str) -> Iterator[Sample]:
    """Thalweg only: 10,000 endpoints in 100 pools beside three, HTTP/1.1, one after the other in each round."""
    subject = rig.settings.subject
    if subject not in rig.running:
        rig.not_measured[name] = f"{subject} does not run"
        return
    many = Peer(subject, rig.settings, rig.endpoint.ports, variant="-endpoints")
    many.config.write_text(big_config.big(many.config.read_text(), big_config.ENDPOINTS, rig.endpoint.ports))
    try:
        many.start()
        for number in range(rig.settings.rounds):
            yield rig.sample(name, subject, number, lambda s: endpoints_once(rig, many, s))
    except PeerFailed as why:
        yield Sample(name, subject, 0, failure=str(why))
    finally:
        many.stop()


def endpoints_once(rig: Rig, many: Peer, sample: Sample) -> None:
    few = rig.running[sample.peer]
    seen = {}
    for peer in (few, many) if sample.round % 2 else (many, few):
        if peer is many:
            connect_all(rig, many)
        seen[peer] = Sample(sample.scenario, sample.peer, sample.round)
        closed_once(rig, CLOSED["h1"], peer, seen[peer])
    three, ten_thousand = seen[few], seen[many]
    sample.figures = {
        "many_cpu_us": ten_thousand.figures["cpu_us"],
        "few_cpu_us": three.figures["cpu_us"],
        "cpu_ratio": ten_thousand.figures["cpu_us"] / three.figures["cpu_us"],
        "many_rss_mib": ten_thousand.figures["rss_mib"],
        "few_rss_mib": three.figures["rss_mib"],
    }
    share = max(one.detail["foreign_share"] for one in seen.values())
    sample.detail = {"foreign_share": share, "many": ten_thousand.detail, "few": three.detail}


def connect_all(rig: Rig, many: Peer) -> None:
    """Load until nearly every endpoint has a kept-alive connection: a connect costs more than a request."""
    wanted = 0.98 * big_config.ENDPOINTS.pools * big_config.ENDPOINTS.endpoints
    deadline = time.monotonic() + 90
    while (found := measure.open_sockets(many.pids())) < wanted:
        if time.monotonic() > deadline:
            raise load.LoadFailed(f"only {found} of 10,000 endpoints have a connection")
        load.finish_wrk(load.start_wrk(rig.settings, f"http://127.0.0.1:{many.http}/", 3, 64), 30)


def open_loop(rig: Rig, peak_rps: float) -> Iterator[Sample]:
    """Each level of nginx's peak, Poisson arrivals, the same schedule for every peer of a round."""
    for level in rig.settings.open_levels:
        rate = peak_rps * level / 100
        for number, peer in rig.rounds(list(rig.running), rig.settings.rounds):
            if peer in rig.running:
                yield rig.sample(f"open-{level}", peer, number, lambda s: open_once(rig, rate, s))


def open_once(rig: Rig, rate: float, sample: Sample) -> None:
    settings, peer = rig.settings, rig.running[sample.peer]
    process = load.start_open_loop(settings, peer.http, rate, settings.duration_s, sample.round + 1)
    time.sleep(settings.warmup_s + 0.1)
    seen = watch(rig, peer, settings.duration_s * 0.9)
    report = load.finish_tool(process, settings.duration_s + 30)
    if report["errors"]:
        raise load.LoadFailed(f"{report['errors']} errors, first: {report['first_error']}")
    sample.figures = {
        **costs(seen),
        "rps": report["achieved_rps"],
        "p50_us": report["p50_us"],
        "p99_us": report["p99_us"],
        "rss_mib": measure.rss_bytes(peer.pids()) / 2**20,
    }
    # Held: everything that was due was sent and answered, and the generator itself woke in time.
    held = report["unsent"] + report["unanswered"] == 0 and report["lag_p99_us"] <= 1000
    sample.detail = {"rate": rate, "held": held, "foreign_share": seen.foreign_share, "report": report}


def idle(rig: Rig) -> Iterator[Sample]:
    """Each peer alone and fresh: RSS with three pools, then with silent connections, then after a request on each."""
    rig.stop_all()
    for number, name in rig.rounds(rig.came_up, rig.settings.rounds):
        yield rig.sample("idle", name, number, lambda s: idle_once(rig, s))


def idle_once(rig: Rig, sample: Sample) -> None:
    peer = Peer(sample.peer, rig.settings, rig.endpoint.ports)
    held = None
    try:
        peer.start()
        time.sleep(2 if rig.settings.quick else 4)
        pids, count = peer.pids(), rig.settings.idle_connections
        empty, sockets = measure.rss_bytes(pids), measure.open_sockets(pids)
        held = load.Held(rig.settings, peer.http, count)
        # Some upstream sockets come and go; the accepted ones are what matters.
        peers.wait_until(lambda: measure.open_sockets(pids) >= sockets + count - 20, 20)
        time.sleep(1)
        silent = measure.rss_bytes(pids)
        held.order("request", "answered")
        time.sleep(1)
        used = measure.rss_bytes(pids)
        if measure.open_sockets(pids) < count:
            raise load.LoadFailed("connections were closed while they were counted")
        sample.figures = {
            "idle_rss_mib": empty / 2**20,
            "silent_bytes": (silent - empty) / count,
            "used_bytes": (used - empty) / count,
        }
    finally:
        if held:
            held.close()
        peer.stop()


def reload(rig: Rig) -> Iterator[Sample]:
    """Thalweg only: 1,000 pools × 10 endpoints by POST, again and again with a change, while traffic goes on.

    A sample per reload; what the traffic saw belongs to all of them.
    """
    rig.stop_all()
    subject = rig.settings.subject
    if subject not in rig.came_up:
        return
    whole = rig.sample("reload", subject, 0, lambda s: reload_run(rig, s))
    for number, took_ms in enumerate(whole.detail.pop("took_ms", [])):
        figures = {"reload_ms": took_ms, **whole.figures}
        yield Sample("reload", subject, number, figures, whole.detail, whole.failure)
    if whole.failure:
        yield whole


def reload_run(rig: Rig, sample: Sample) -> None:
    settings = rig.settings
    peer = Peer(sample.peer, settings, rig.endpoint.ports)
    small = peer.config.read_text()
    count = max(settings.rounds, 2)
    process = None
    try:
        peer.start()
        process = load.start_open_loop(settings, peer.http, 500, 3 + 3 * count, 1, connections=16)
        time.sleep(2)
        took = sample.detail["took_ms"] = []
        for number in range(count):
            config = big_config.big(small, big_config.RELOAD, rig.endpoint.ports, weight=1 + number % 2)
            took.append(reload_once(peer, config))
            time.sleep(2.5)
        report = load.finish_tool(process, 120)
        sample.figures = {
            "failed": report["errors"] + report["unsent"] + report["unanswered"],
            "p99_us": report["p99_us"],
            "rss_mib": measure.rss_bytes(peer.pids()) / 2**20,
        }
        sample.detail |= {"readyz_after": peers.get(peer.admin, "/readyz")[0], "report": report}
    finally:
        if process and process.poll() is None:
            process.kill()
            process.wait()
        peer.stop()


def reload_once(peer: Peer, config: str) -> float:
    fresh = peer.config.with_suffix(".next")
    fresh.write_text(config)
    fresh.replace(peer.config)
    start = time.perf_counter()
    status, _, body = peers.get(peer.admin, "/api/v1/reload", method="POST", timeout=60)
    took_ms = (time.perf_counter() - start) * 1000
    if status != 200 or "generation" not in json.loads(body):
        raise load.LoadFailed(f"reload answered {status}: {body[:300]!r}")
    return took_ms


def shout(message: str) -> None:
    print(f"!! bench: {message}", file=sys.stderr, flush=True)
