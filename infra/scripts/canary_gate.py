#!/usr/bin/env python3
"""Judges a canary by the edges' own metrics, against the stable version at the same time, and says: good, bad, or unproven.

Why intervals and not thresholds: of 300 requests, 2 % failed may be 0.7 % or 4.7 %. Each comparison has a confidence interval
(Newcombe's, of two proportions; Statistics in Medicine 17, 1998). Both ends count: the canary is bad when even the lower end is
beyond what is tolerated, good when the upper end is within, and unproven in between, which is watched on until the time is over.
Unproven at the end fails, as does a metric that is missing or stale: silence is never good news.

Counted are attempts, not answers to clients: the edge retries a failed attempt elsewhere, so that clients see the stable version
succeed while the canary fails. Compared: the share of failed attempts, and the share of those that are slower than the stable
version's own 99th percentile, by more than 25 ms. All since the start, and the later half alone, since a canary may be fine only
at first.

Exit status: 0 good; 1 bad; 2 usage; 3 unproven, missing or stale. Reads only.
"""

import argparse
import json
import math
import re
import subprocess
import sys
import time
import urllib.request
from typing import NamedTuple

SAMPLE = re.compile(r"^(\w+)\{(.*)\} (\S+)$", re.MULTILINE)
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
Z = 2.576  # 99 %
PERCENTILE = 0.99
# Nobody feels less than this, and a canary has colder connections: it gets fewer requests.
SLACK_S = 0.025
# A client that left, or an endpoint that lost a race, says nothing of the version.
OUTCOMES = {"ok", "5xx", "connect_failed", "reset", "timeout"}


class Seen(NamedTuple):
    """Of one pool: attempts, failed ones, and first bytes by upper bound of their bucket, in seconds."""

    requests: float
    failed: float
    buckets: dict[float, float]

    def __sub__(self, old):
        return Seen(
            self.requests - old.requests,
            self.failed - old.failed,
            {bound: count - old.buckets.get(bound, 0) for bound, count in self.buckets.items()},
        )

    def __add__(self, other):
        bounds = self.buckets.keys() | other.buckets.keys()
        return Seen(
            self.requests + other.requests,
            self.failed + other.failed,
            {bound: self.buckets.get(bound, 0) + other.buckets.get(bound, 0) for bound in bounds},
        )


NOTHING = Seen(0, 0, {})


def read(text, pool):
    """What a page of metrics says of a pool; None if the pool is not on it."""
    requests = failed = 0.0
    buckets, known = {}, False
    for name, labels, value in SAMPLE.findall(text):
        label = dict(LABEL.findall(labels))
        if label.get("pool") != pool:
            continue
        known = True
        if name == "thalweg_endpoint_requests_total" and label["outcome"] in OUTCOMES:
            requests += float(value)
            failed += float(value) if label["outcome"] != "ok" else 0
        elif name == "thalweg_endpoint_first_byte_seconds_bucket":
            bound = float(label["le"].replace("+Inf", "inf"))
            buckets[bound] = buckets.get(bound, 0) + float(value)
    return Seen(requests, failed, buckets) if known else None


def wilson(hits, of):
    """The interval of one proportion."""
    if of <= 0:
        return 0.0, 1.0
    share, square = hits / of, Z * Z
    middle = (share + square / (2 * of)) / (1 + square / of)
    half = Z / (1 + square / of) * math.sqrt(share * (1 - share) / of + square / (4 * of * of))
    return max(0.0, middle - half), min(1.0, middle + half)


def difference(canary, stable):
    """The interval of canary's proportion less stable's; each is (hits, of)."""
    (a_low, a_high), (b_low, b_high) = wilson(*canary), wilson(*stable)
    a, b = (hits / of if of else 0.0 for hits, of in (canary, stable))
    return a - b - math.hypot(a - a_low, b_high - b), a - b + math.hypot(a_high - a, b - b_low)


def late_bound(seen):
    """From where an answer is late: the last bucket's bound within SLACK_S of the 99th percentile."""
    whole = seen.buckets.get(math.inf, 0)
    p99 = next((bound for bound in sorted(seen.buckets) if seen.buckets[bound] >= PERCENTILE * whole), math.inf)
    return max(bound for bound in seen.buckets if bound <= p99 + SLACK_S)


def slower(seen, bound):
    whole = seen.buckets.get(math.inf, 0)
    return whole - seen.buckets.get(bound, whole), whole


def judged(canary, stable, limits, least):
    """("good" | "bad" | "unproven", why) for one span of time."""
    if min(canary.requests, stable.requests) < least:
        return "unproven", f"{canary.requests:.0f} requests of the canary and {stable.requests:.0f} of the stable; {least} of each are needed"
    if not (canary.buckets and stable.buckets):
        return "unproven", "there is no metric of the time to the first byte"
    bound = late_bound(stable)
    spans = {
        "more requests fail": difference((canary.failed, canary.requests), (stable.failed, stable.requests)),
        f"more are slower than {bound} s": difference(slower(canary, bound), slower(stable, bound)),
    }
    verdict, said = "good", []
    for (what, (low, high)), limit in zip(spans.items(), limits):
        said.append(f"{low:+.1%} to {high:+.1%} {what}")
        if low > limit:
            return "bad", f"{said[-1]}; {limit:.1%} may"
        if high > limit:
            verdict = "unproven"
    return verdict, "; ".join(said)


class Source:
    """The pages of every edge: of addresses that were given, or of every pod of a release behind a kubectl context."""

    def __init__(self, options):
        self.urls, self.context = options.edge, options.context
        self.namespace, self.release = options.namespace, options.release

    def kubectl(self, *words):
        command = ["kubectl", "--context", self.context, "--namespace", self.namespace, "--request-timeout", "5s", *words]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=15).stdout

    def pages(self, path):
        """{edge: text}. Whatever cannot be read raises: an edge that is left out might be the one that is ill."""
        if self.urls:
            found = {}
            for url in self.urls:
                with urllib.request.urlopen(url + path, timeout=5) as answer:
                    found[url] = answer.read().decode()
            return found
        selector = f"app.kubernetes.io/instance={self.release},app.kubernetes.io/component=serving"
        running = ("--field-selector", "status.phase=Running", "--selector", selector, "--output", "json")
        pods = [item["metadata"]["name"] for item in json.loads(self.kubectl("get", "pods", *running))["items"]]
        base = f"/api/v1/namespaces/{self.namespace}/pods"
        return {pod: self.kubectl("get", "--raw", f"{base}/{pod}:9900/proxy{path}") for pod in pods}


class Watch:
    """What each pool has been asked since the start, over all edges; an edge that restarts begins at nothing again."""

    def __init__(self, pools):
        self.pools, self.before = pools, {}
        self.total = dict.fromkeys(pools, NOTHING)
        self.history, self.grew_at = [], None

    def look(self, pages, now):
        """Why this look counts for nothing; None if it counts."""
        if not pages:
            return "no edge is there"
        fresh = {}
        for edge, text in pages.items():
            for pool in self.pools:
                seen = read(text, pool)
                if seen is None:
                    return f"{edge} has no metric of the pool {pool}"
                fresh[edge, pool] = seen
        if self.grew_at is None:
            self.grew_at = now
        for (edge, pool), seen in fresh.items():
            old = self.before.get((edge, pool))
            if old is not None:
                new = seen if seen.requests < old.requests else seen - old
                self.total[pool] = self.total[pool] + new
                if new.requests > 0 and pool == self.pools[0]:
                    self.grew_at = now
        self.before |= fresh
        self.history.append(dict(self.total))
        return None

    def spans(self):
        """All that was seen, and the later half of it, by the canary's requests."""
        canary, _ = self.pools
        half = self.total[canary].requests / 2
        middle = [then for then in self.history if then[canary].requests <= half][-1]
        yield "since the start", tuple(self.total[pool] for pool in self.pools)
        yield "of late", tuple(self.total[pool] - middle[pool] for pool in self.pools)


def verdict(watch, limits, least):
    worst, said = "good", []
    for number, (name, (canary, stable)) in enumerate(watch.spans()):
        # Half of what is wanted for the whole.
        one, why = judged(canary, stable, limits, least / (1 + number))
        said.append(f"{name}: {why}")
        if one == "bad":
            return one, said[-1]
        if one == "unproven" and number == 0:
            worst = one
    return worst, "; ".join(said)


def elsewhere(status, pool, dial):
    """Why an edge does not have the pool at that dial yet; None if it does."""
    members = [one for route in status["routes"] for one in route["pools"] if one["pool"] == pool]
    if not members:
        return f"no route has the pool {pool}"
    found = {one["dial"] for one in members}
    return None if found == {dial} else f"its dial is {', '.join(map(str, sorted(found)))}"


def arrived(source, options):
    """Waits until every edge has the dial that was committed: what is measured before belongs to another one."""
    end = time.monotonic() + options.arrive
    while True:
        try:
            said = {edge: elsewhere(json.loads(text), options.canary, options.dial) for edge, text in source.pages("/api/v1/status").items()}
            late = {edge: why for edge, why in said.items() if why} or ({} if said else {"edges": "none is there"})
        except Exception as failure:  # noqa: BLE001 - whatever the reason, it is not known
            late = {"status": f"cannot be read: {failure}"}
        if not late or time.monotonic() >= end:
            return "; ".join(f"{edge}: {why}" for edge, why in late.items())
        time.sleep(options.tick)


def watched(source, options):
    if options.dial is not None and (late := arrived(source, options)):
        return 3, f"the dial {options.dial} is not in force after {options.arrive:g} s: {late}"
    watch = Watch((options.canary, options.stable))
    end, missing_since = time.monotonic() + options.seconds, None
    limits = (options.error_margin, options.slow_margin)
    said = "nothing was seen"
    while True:
        now = time.monotonic()
        try:
            problem = watch.look(source.pages("/metrics"), now)
        except Exception as failure:  # noqa: BLE001 - whatever the reason, the metric is missing
            problem = f"metrics cannot be read: {failure}"
        if problem:
            missing_since = now if missing_since is None else missing_since
            if now - missing_since >= options.stale:
                return 3, f"missing for {options.stale:g} s: {problem}"
        else:
            missing_since = None
            if now - watch.grew_at >= options.stale:
                return 3, f"stale: the canary was asked nothing for {options.stale:g} s"
            one, said = verdict(watch, limits, options.requests)
            if one == "bad":
                return 1, said
            if one == "good":
                return 0, said
        if now >= end:
            return 3, f"unproven within {options.seconds:g} s: {problem or said}"
        time.sleep(options.tick)


def arguments(words):
    parser = argparse.ArgumentParser(prog="canary_gate.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--canary", required=True, help="pool of the canary")
    parser.add_argument("--stable", required=True, help="pool that it is compared with")
    parser.add_argument("--edge", action="append", default=[], help="admin address of an edge, http://HOST:PORT; may be repeated")
    parser.add_argument("--context", help="kubectl context, instead of --edge")
    parser.add_argument("--namespace", default="edges")
    parser.add_argument("--release", default="thalweg-edge")
    parser.add_argument("--requests", type=float, default=300, help="that each must have answered (300)")
    parser.add_argument("--seconds", type=float, default=1800, help="until when it must be proven (1800)")
    parser.add_argument("--stale", type=float, default=60, help="for how long a metric may be missing or stand still (60)")
    parser.add_argument("--dial", type=int, help="wait until every edge has the canary at this dial")
    parser.add_argument("--arrive", type=float, default=900, help="seconds to wait for that (900)")
    parser.add_argument("--tick", type=float, default=5)
    parser.add_argument("--error-margin", type=float, default=0.02, help="how much larger the share of failures may be (0.02)")
    parser.add_argument("--slow-margin", type=float, default=0.05, help="how much larger the share of slow ones may be (0.05)")
    options = parser.parse_args(words)
    if bool(options.edge) == bool(options.context):
        parser.error("--edge or --context: one of them")
    if options.requests < 300:
        parser.error("--requests: fewer than 300 prove nothing")
    if options.canary == options.stable:
        parser.error("--canary and --stable are the same pool")
    return options


def main(words):
    options = arguments(words)
    code, said = watched(Source(options), options)
    print(f"canary-gate: {['good', 'bad', '', 'failed'][code]}: {said}")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
