"""The gate of a wave: every edge runs the rendered config and is healthy, and stays so under real traffic, or this exits 1.

Asks each pod by itself, over the admin API: a Service would show one edge for all. The kubelet brings a changed config to
pods within about a minute, so agreement is waited for; after that nothing is forgiven but what heals within PATIENCE_S.
Reads the environment that templates/tests/gate.yaml sets. Needs nothing but Python. Changes nothing.
"""

import hashlib
import http.client
import json
import os
import re
import socket
import sys
import time

PATIENCE_S = float(os.environ.get("PATIENCE", "30"))  # a new pod, a failover elsewhere
TICK_S = float(os.environ.get("TICK", "5"))
DRAINS = "draining"
SAMPLE = re.compile(r'^(\w+)\{(.*)\} (\S+)$', re.MULTILINE)
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


def config_hash(directory, token_file, fleet=""):
    """What an edge answers as config_hash for these files: of each part its name, its length and its bytes."""
    whole = hashlib.sha256()
    parts = [(b"file", os.path.join(directory, "thalweg.toml"))] + ([(b"token", token_file)] if token_file else [])
    parts += zip((b"verify", b"credentials"), filter(None, fleet.split(",")))
    for name, path in parts:
        with open(path, "rb") as file:
            content = file.read()
        whole.update(name + len(content).to_bytes(8, "little") + content)
    return whole.hexdigest()


def addresses(names):
    """Every pod behind the names, `host:port` with commas between."""
    found = set()
    for name in names.split(","):
        host, port = name.rsplit(":", 1)
        try:
            found |= {answer[4][:2] for answer in socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)}
        except socket.gaierror:
            continue
    return sorted(found)


def get(address, path):
    connection = http.client.HTTPConnection(*address, timeout=5)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read().decode()
        if answer.status != 200:
            raise OSError(f"{path} answers {answer.status}")
        return body
    finally:
        connection.close()


def wrong(address, expected):
    """Why this edge does not pass, in one line; None if it does."""
    try:
        status = json.loads(get(address, "/api/v1/status"))
    except (OSError, ValueError, http.client.HTTPException) as problem:
        return f"no status: {problem}"
    if status["draining"]:
        return DRAINS
    # A bundle of the fleet decides over the rendered tables; its own trial judges it, and the edge must have read its files.
    bundle = (status.get("fleet") or {}).get("bundle")
    if bundle and bundle["on_trial"]:
        return f"bundle {bundle['number']} is on trial"
    if bundle and (status["last_reload"] or {}).get("result") == "rejected":
        return "its files were rejected by the last reload"
    if not bundle and status["config_hash"] != expected:
        last = status["last_reload"] or {}
        errors = "; ".join(f"{error.get('path')}: {error.get('problem')}" for error in last.get("errors", []))
        return f"another config is in force; its last reload: {last.get('result')} {errors}".rstrip()
    # From here on as `thalweg status --healthy` says it, which asks one edge.
    if status["unready"]:
        return f"not ready: {status['unready']}"
    for route in status["routes"]:
        if not any((pool["share"] or 0) > 0 for pool in route["pools"]):
            return f"route {route['name']} cannot serve"
    for pool in status["pools"]:
        if not pool["up"]:
            said = {(endpoint["last_probe"] or {}).get("error") for endpoint in pool["endpoints"]} - {None}
            return f"pool {pool['name']} has no available endpoint: {', '.join(sorted(said)) or 'none is known'}"
    return None


def complaints(names, expected):
    """{edge: reason} for those that do not pass; one that drains will be gone, but one must be there that does not."""
    said = {f"{host}:{port}": wrong((host, port), expected) for host, port in addresses(names)}
    if all(reason == DRAINS for reason in said.values()):
        return {names: "no edge is there"}
    return {edge: reason for edge, reason in said.items() if reason not in (None, DRAINS)}


def counts(address):
    """(requests by class, duration buckets by upper bound) since the edge began; answers to the admin are not among them."""
    classes, buckets = {}, {}
    for name, labels, value in SAMPLE.findall(get(address, "/metrics")):
        label = dict(LABEL.findall(labels))
        if name == "thalweg_requests_total":
            classes[label["code_class"]] = classes.get(label["code_class"], 0) + float(value)
        elif name == "thalweg_request_duration_seconds_bucket":
            bound = float(label["le"].replace("+Inf", "inf"))
            buckets[bound] = buckets.get(bound, 0) + float(value)
    return classes, buckets


class Traffic:
    """What the edges have answered since the bake began, over all of them; one that restarts begins at nothing again."""

    def __init__(self):
        self.before, self.classes, self.buckets = {}, {}, {}

    def look(self, names):
        for address in addresses(names):
            try:
                now = counts(address)
            except (OSError, http.client.HTTPException):
                continue  # complaints() says so
            if address in self.before:
                for sums, new, old in zip((self.classes, self.buckets), now, self.before[address]):
                    restarted = any(new.get(key, 0) < value for key, value in old.items())
                    for key, value in new.items():
                        sums[key] = sums.get(key, 0) + value - (0 if restarted else old.get(key, 0))
            self.before[address] = now

    def requests(self):
        return sum(self.classes.values())

    def error_share(self):
        return self.classes.get("5xx", 0) / self.requests()

    def p99_s(self):
        """The upper bound of the bucket that the 99th percentile is in."""
        whole = self.buckets.get(float("inf"), 0)
        return next((bound for bound in sorted(self.buckets) if self.buckets[bound] >= 0.99 * whole), 0.0)


def judged(traffic, error_share, p99_s, least):
    """Why the traffic does not pass; None if it does, or is too little to say."""
    if traffic.requests() < least:
        return None
    if traffic.error_share() > error_share:
        return f"{traffic.error_share():.1%} of {traffic.requests():.0f} requests failed; {error_share:.1%} may"
    if traffic.p99_s() > p99_s:
        return f"the 99th percentile is within {traffic.p99_s()} s; it may be {p99_s} s"
    return None


def agree(names, expected, wait_s):
    """Waits until every edge passes; the complaints that are left when the time is over."""
    end = time.monotonic() + wait_s
    while (said := complaints(names, expected)) and time.monotonic() < end:
        time.sleep(min(TICK_S, 2))
    return said


def bake(names, expected, seconds, limits):
    """Watches until the time is over and every edge is well; the first reason to stop, or None, and what was seen."""
    traffic, sick, end = Traffic(), {}, time.monotonic() + seconds
    while True:
        traffic.look(names)
        said, now = complaints(names, expected), time.monotonic()
        sick = {edge: sick.get(edge, now) for edge in said}
        lasting = [f"{edge}: {said[edge]}" for edge, since in sick.items() if now - since > PATIENCE_S]
        stop = "; ".join(lasting) or judged(traffic, *limits)
        if stop or (now >= end and not said):
            return stop, traffic
        time.sleep(TICK_S)


def main(env):
    names = env["EDGES"]
    expected = config_hash(env["CONFIG"], env.get("TOKEN_FILE"), env.get("FLEET", ""))
    said = agree(names, expected, float(env["WAIT"]))
    if said:
        print(f"gate: not every edge runs {expected[:12]} and is healthy within {env['WAIT']} s")
        print("\n".join(f"  {edge}: {reason}" for edge, reason in said.items()))
        return 1
    print(f"gate: {len(addresses(names))} edges run {expected[:12]} and are healthy", flush=True)
    limits = float(env["ERROR_SHARE"]), float(env["P99"]) / 1000, float(env["MIN_REQUESTS"])
    stop, traffic = bake(names, expected, float(env["BAKE"]), limits)
    if stop:
        print(f"gate: stopped: {stop}")
        return 1
    enough = traffic.requests() >= limits[2]
    print(f"gate: passed; {traffic.requests():.0f} requests" + ("" if enough else ": too few to judge share and p99"))
    return 0


if __name__ == "__main__":
    sys.exit(main(os.environ))
