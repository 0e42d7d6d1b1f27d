"""The scenarios of the front door: PROXY headers, HTTP/2 to endpoints, key exchanges, slow heads, attacks over HTTP/2, and
connections that are not HTTP. Each sample holds both sides of its comparison, measured one after the other.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from . import load, measure, peers
from .peers import Peer, PeerFailed
from .scenarios import CLOSED, Closed, Rig, Sample, closed_once, costs, watch

# What is sent, and whether the edge must end such a connection.
ATTACKS = {
    "rapid-reset": True,
    "continuation": True,
    "ping": True,
    "settings": True,
    "byte-updates": True,
    "zero-window": False,  # it costs a stream that waits for its client, up to `idle`
}
CALM_RPS = 1000  # of the clients whose p99 is watched

# How a row reads. A figure that is missing makes the row a row without figures.
SENTENCES = {
    "proxy-header": "{with_us:.1f} µs of CPU per connection with a header, {without_us:.1f} µs without: {header_us:+.1f} µs",
    "h2-endpoints": "{h2_us:.1f} µs of CPU per request over HTTP/2 to the endpoint, {h1_us:.1f} µs over HTTP/1.1: {cpu_ratio:.2f} ×",
    "key-exchange": "{hybrid_us:.0f} µs of CPU per connection with X25519MLKEM768, {x25519_us:.0f} µs with X25519: {cpu_ratio:.2f} ×",
    "slow-heads": "p99 {p99_us:.0f} µs, calm {calm_p99_us:.0f} µs: {p99_ratio:.2f} ×; {bytes_each:.0f} B per connection",
    "tcp-1m": "{cpu_us:.0f} µs of CPU per answer of 1 MiB",
    "attack-": "{byte_ratio:.2f} × of the CPU per byte of honest requests; p99 of others {p99_ratio:.2f} × calm; {ended:.0%} of the connections ended, the slowest after {ended_ms:.0f} ms",
}  # fmt: skip


def scenario(rig: Rig, name: str) -> Iterator[Sample] | None:
    """The scenario of this name, if it is one of these."""
    if name.startswith("attack-"):
        return every(rig, name, [p for p in rig.running if p != "envoy"], lambda p, s: attack_once(rig, name[7:], p, s))
    subject = [rig.settings.subject] if rig.settings.subject in rig.running else []
    works = {
        "proxy-header": (list(rig.running), lambda p, s: proxy_header_once(rig, p, s)),
        "key-exchange": (subject, lambda p, s: key_exchange_once(rig, p, s)),
        "tcp-1m": ([p for p in rig.running if p.partition("-")[0] in ("haproxy", "thalweg")], lambda p, s: tcp_once(rig, p, s)),
    }
    if name in works:
        return every(rig, name, *works[name])
    return {"h2-endpoints": h2_endpoints, "slow-heads": slow_heads}[name](rig) if name in SENTENCES else None


def every(rig: Rig, name: str, names: list[str], work: Callable[[Peer, Sample], None]) -> Iterator[Sample]:
    for number, peer in rig.rounds(names, rig.settings.rounds):
        if peer in rig.running:
            yield rig.sample(name, peer, number, lambda s: work(rig.running[s.peer], s))


def turned(sample: Sample, *names: str) -> tuple[str, ...]:
    """These names, in the other order every second round."""
    return names if sample.round % 2 else names[::-1]


def connects(rig: Rig, peer: Peer, port: int, **flags: object) -> tuple[measure.Window, dict]:
    """A window of connections with one request each."""
    settings = rig.settings
    seconds = settings.warmup_s + settings.duration_s + 0.5
    process = load.start_tool(settings, "connects", address=f"127.0.0.1:{port}", duration=seconds, **flags)
    time.sleep(settings.warmup_s)
    seen = watch(rig, peer, settings.duration_s)
    report = load.finish_tool(process, seconds + 30)
    if report["errors"] or not report["connections"]:
        raise load.LoadFailed(f"connects: {report}")
    return seen, report


def note(sample: Sample, seen: measure.Window) -> None:
    sample.detail["foreign_share"] = max(seen.foreign_share, sample.detail.get("foreign_share", 0.0))


def proxy_header_once(rig: Rig, peer: Peer, sample: Sample) -> None:
    for which in turned(sample, "with", "without"):
        port, header = (peer.ports["PROXY"], "true") if which == "with" else (peer.http, "false")
        seen, _ = connects(rig, peer, port, **{"proxy-header": header})
        sample.figures[f"{which}_us"] = seen.cpu_us
        note(sample, seen)
    sample.figures["header_us"] = sample.figures["with_us"] - sample.figures["without_us"]


def key_exchange_once(rig: Rig, peer: Peer, sample: Sample) -> None:
    for group in turned(sample, "x25519", "hybrid"):
        seen, report = connects(rig, peer, peer.https, tls=group)
        wanted = {"x25519": "X25519", "hybrid": "X25519MLKEM768"}[group]
        if set(report["groups"]) != {wanted}:
            raise load.LoadFailed(f"negotiated {report['groups']}, not {wanted}")
        sample.figures[f"{group}_us"] = seen.cpu_us
        note(sample, seen)
    sample.figures["cpu_ratio"] = sample.figures["hybrid_us"] / sample.figures["x25519_us"]


def h2_endpoints(rig: Rig) -> Iterator[Sample]:
    """Thalweg only: one endpoint, 64 requests at a time, over HTTP/2 (64 streams on a connection) and over HTTP/1.1."""
    name, subject, ways = "h2-endpoints", rig.settings.subject, {}
    try:
        for way, line in (("h1", ""), ("h2", 'protocol = "h2"\n')):
            peer = Peer(subject, rig.settings, rig.endpoint.ports, variant=f"-{way}")
            peer.config.write_text(to_one_endpoint(peer.config.read_text(), line))
            peer.start()
            ways[way] = peer
        for number in range(rig.settings.rounds):
            yield rig.sample(name, subject, number, lambda s: h2_endpoints_once(rig, ways, s))
    except PeerFailed as why:
        yield Sample(name, subject, 0, failure=str(why))
    finally:
        for peer in ways.values():
            peer.stop()


def to_one_endpoint(config: str, line: str) -> str:
    """The small config with its first pool alone in the route, and a line more in that pool."""
    config = config.replace('[pool.aws-us-east-1]\n', f'[pool.aws-us-east-1]\n{line}')
    gone = ('  { pool = "gcp-europe-west1" },\n', '  { pool = "azure-southeastasia" },\n')
    for member in gone:
        config = config.replace(member, "")
    return config


def h2_endpoints_once(rig: Rig, ways: dict[str, Peer], sample: Sample) -> None:
    for way in turned(sample, "h1", "h2"):
        one = Sample(sample.scenario, sample.peer, sample.round)
        closed_once(rig, CLOSED["h1"], ways[way], one)
        sample.figures[f"{way}_us"] = one.figures["cpu_us"]
        sample.detail[way] = one.detail
    sample.detail["foreign_share"] = max(sample.detail[way]["foreign_share"] for way in ways)
    sample.figures["cpu_ratio"] = sample.figures["h2_us"] / sample.figures["h1_us"]


def tcp_once(rig: Rig, peer: Peer, sample: Sample) -> None:
    """Answers of 1 MiB through a connection that the proxy does not look into. HAProxy once more without splice."""
    for key, port in (("cpu_us", "TCP"), ("copied_us", "TCPCOPY")):
        if port in ("TCP", "TCPCOPY")[: 2 if peer.kind == "haproxy" else 1]:
            one = Sample(sample.scenario, sample.peer, sample.round)
            closed_once(rig, Closed("/1m", connections=16), peer, one, peer.ports[port])
            sample.figures[key] = one.figures["cpu_us"]
            sample.detail["foreign_share"] = max(one.detail["foreign_share"], sample.detail.get("foreign_share", 0.0))


def open_p99(rig: Rig, peer: Peer, sample: Sample, seed: int, meanwhile: Callable[[], None] | None = None) -> dict:
    """The report of clients that come at a calm rate, and what the proxy spent meanwhile."""
    settings, cores = rig.settings, peer.cores
    pids, counter = peer.pids(), rig.endpoint.ports[0]
    first = measure.read(pids, cores, counter)
    process = load.start_open_loop(settings, peer.http, CALM_RPS, settings.duration_s, seed)
    if meanwhile:
        meanwhile()
    report = load.finish_tool(process, settings.duration_s + 60)
    seen = measure.window(first, measure.read(pids, cores, counter), len(cores))
    note(sample, seen)
    if report["errors"]:
        raise load.LoadFailed(f"{report['errors']} errors among the others, first: {report['first_error']}")
    return report | {"cpu_s": (seen.user_us + seen.system_us) * seen.requests / 1e6, "seconds": seen.seconds, **costs(seen)}


def attack_once(rig: Rig, kind: str, peer: Peer, sample: Sample) -> None:
    settings, address = rig.settings, f"127.0.0.1:{peer.ports['H2C']}"
    seconds = settings.duration_s

    def flood(what: str):
        return load.start_tool(settings, "attack", nice=10, address=address, kind=what, duration=seconds)

    calm = open_p99(rig, peer, sample, sample.round + 1)
    per_byte, attacked = {}, {}
    for what in ("honest", kind):
        process = None

        def begin() -> None:
            nonlocal process
            time.sleep(settings.warmup_s)
            process = flood(what)

        seen = open_p99(rig, peer, sample, sample.round + 1, begin)
        attacked[what] = report = load.finish_tool(process, seconds + 30) | {"others": seen}
        spent = seen["cpu_s"] - calm["cpu_s"] * seen["seconds"] / calm["seconds"]
        per_byte[what] = max(spent, 0.0) / max(report["bytes"], 1)
    if not attacked["honest"]["requests"] or attacked["honest"]["errors"]:
        raise load.LoadFailed(f"honest requests: {attacked['honest']}")
    found = attacked[kind]
    sample.figures = {
        "byte_ratio": per_byte[kind] / per_byte["honest"],
        "calm_p99_us": calm["p99_us"],
        "honest_p99_us": attacked["honest"]["others"]["p99_us"],
        "p99_us": found["others"]["p99_us"],
        "p99_ratio": found["others"]["p99_us"] / calm["p99_us"],
        "ended": found["ended"] / found["connections"],
        "ended_ms": found["longest_ms"],
    }
    sample.detail |= {"calm": calm, "attacked": attacked}


def slow_heads(rig: Rig) -> Iterator[Sample]:
    """Each peer alone and fresh: 10,000 connections whose heads never end, a byte each every ten seconds."""
    rig.stop_all()
    for number, name in rig.rounds(rig.came_up, rig.settings.rounds):
        yield rig.sample("slow-heads", name, number, lambda s: slow_heads_once(rig, s))


def slow_heads_once(rig: Rig, sample: Sample) -> None:
    settings, count = rig.settings, rig.settings.idle_connections
    peer, held = Peer(sample.peer, settings, rig.endpoint.ports), None
    try:
        peer.start()
        time.sleep(1 if settings.quick else 3)
        calm = open_p99(rig, peer, sample, 1)
        pids = peer.pids()
        empty, sockets = measure.rss_bytes(pids), measure.open_sockets(pids)
        held = load.Held(settings, peer.http, count)
        peers.wait_until(lambda: measure.open_sockets(pids) >= sockets + count - 200, 20)
        held.order("heads", "begun")
        time.sleep(1)
        held.say("drip")
        slow = open_p99(rig, peer, sample, 1)
        dripped = held.expect("dripped")
        if dripped["answered"] < count or measure.open_sockets(pids) < count:
            raise load.LoadFailed(f"connections were closed while they were counted: {dripped}")
        sample.figures = {
            "calm_p99_us": calm["p99_us"],
            "p99_us": slow["p99_us"],
            "p99_ratio": slow["p99_us"] / calm["p99_us"],
            "bytes_each": (measure.rss_bytes(pids) - empty) / count,
        }
    finally:
        if held:
            held.close()
        peer.stop()


def sentence(row: dict[str, object]) -> str:
    """What a row says."""
    text = next(text for name, text in SENTENCES.items() if str(row["scenario"]).startswith(name))
    figures = {key: value for key, value in row.items() if value is not None}
    try:
        copied = f"; {row['copied_us']:.0f} µs without splice" if row.get("copied_us") else ""
        return text.format_map(figures) + copied
    except KeyError:
        return "–"


def is_of_the_door(scenario: str) -> bool:
    return any(scenario.startswith(name) for name in SENTENCES)
