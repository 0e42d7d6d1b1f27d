"""The canary, really run: a real edge, two versions of a FastAPI application, a commit per share, and a gate that reads the edge."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import pathlib
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest
import yaml
from conftest import INFRA, ROOT, run
from edge import find_edge, free_port, get, status
from k8s import merge, render, values_of
from mutation import copied
from test_gate import Edge, running, values

sys.path.insert(0, str(INFRA / "scripts"))
import canary_gate  # noqa: E402
from canary_gate import NOTHING, Seen, Watch, difference, judged, read, verdict  # noqa: E402

CANARY = "infra/gitops/canary/azure/thalweg-edge.yaml"
STABLE = "azure-southeastasia"
LIMITS = (0.02, 0.05)

# One version of the application; what is wrong with it is in its environment.
VERSION = """
import asyncio, itertools, os

from fastapi import FastAPI, Response

app, number = FastAPI(), itertools.count()
bad_every, fine_first, late_s = (float(os.environ.get(name, "0")) for name in ("BAD_EVERY", "FINE_FIRST", "LATE_S"))


@app.get("/health")
async def health():
    return {"status": "ok"}


@app.get("/")
async def root(response: Response):
    n = next(number)
    if late_s:
        await asyncio.sleep(late_s)
    if bad_every and n >= fine_first and n % bad_every == 0:
        response.status_code = 500
    return {"version": os.environ["VERSION"]}
"""


# --- the judge -------------------------------------------------------------------------------------------------------


def seen(requests: int, failed: int = 0, slow: int = 0) -> Seen:
    return Seen(requests, failed, {0.05: requests - slow, 0.25: requests, float("inf"): requests})


@pytest.mark.parametrize(
    ("canary", "stable", "wanted"),
    [
        (seen(299), seen(9000), "unproven"),
        (seen(9000), seen(299), "unproven"),
        (seen(400), seen(9000), "good"),
        (seen(300, failed=30), seen(9000), "bad"),
        # As many fail as of the stable: it is not the canary's doing.
        (seen(2000, failed=100), seen(9000, failed=450), "good"),
        (seen(400, failed=9), seen(9000), "unproven"),
        (seen(400, slow=400), seen(9000, slow=30), "bad"),
        (seen(3000, slow=60), seen(9000, slow=80), "good"),
    ],
)
def test_judgement(canary: Seen, stable: Seen, wanted: str) -> None:
    """A difference is good or bad when the whole interval says so, else unproven; less than 300 requests prove nothing"""
    assert judged(canary, stable, LIMITS, 300)[0] == wanted


def test_intervals_are_newcombes() -> None:
    """The interval of a difference is the one of Newcombe's paper (56/70 and 48/80, method 10), at 95 percent"""
    kept, canary_gate.Z = canary_gate.Z, 1.959964
    try:
        low, high = difference((56, 70), (48, 80))
    finally:
        canary_gate.Z = kept
    assert (round(low, 4), round(high, 4)) == (0.0524, 0.3339)


def page(pool: str, requests: int, failed: int = 0) -> str:
    return "".join(
        f'thalweg_endpoint_requests_total{{pool="{pool}",endpoint="e",outcome="{kind}"}} {count}\n'
        for kind, count in (("ok", requests - failed), ("5xx", failed), ("cancelled", 7))
    ) + "".join(
        f'thalweg_endpoint_first_byte_seconds_bucket{{pool="{pool}",le="{bound}"}} {requests}\n' for bound in ("0.05", "+Inf")
    )


def test_what_is_missing_counts_for_nothing() -> None:
    """A page without the pool, no page, and an edge that began anew: told as missing, or counted from nothing, never as fewer"""
    watch = Watch(("canary", "stable"))
    assert watch.look({}, 0) == "no edge is there"
    assert "no metric of the pool canary" in watch.look({"e": page("stable", 5)}, 0)
    both = page("canary", 100) + page("stable", 900)
    assert watch.look({"e": both}, 1) is None and watch.total["canary"] == NOTHING
    assert watch.look({"e": page("canary", 160, 5) + page("stable", 999)}, 2) is None
    assert watch.look({"e": page("canary", 10) + page("stable", 1)}, 3) is None
    assert (watch.total["canary"].requests, watch.total["canary"].failed) == (70, 5)
    assert read(both, "canary").buckets[float("inf")] == 100


def test_fine_at_first_is_seen() -> None:
    """The later half alone decides, too: a version that fails after its first thousand requests is bad"""
    watch = Watch(("canary", "stable"))
    for canary, failed in ((0, 0), (1000, 0), (1200, 0), (1400, 12), (2000, 60)):
        assert watch.look({"e": page("canary", canary, failed) + page("stable", 20 * canary)}, canary) is None
    assert verdict(watch, (0.03, 0.05), 300)[0] == "bad"
    assert judged(*(watch.total[pool] for pool in watch.pools), (0.03, 0.05), 300)[0] == "unproven"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--edge", "http://x"], "--canary"),
        (["--canary", "a", "--stable", "b"], "one of them"),
        (["--canary", "a", "--stable", "b", "--edge", "x", "--context", "y"], "one of them"),
        (["--canary", "a", "--stable", "a", "--edge", "x"], "same pool"),
        (["--canary", "a", "--stable", "b", "--edge", "x", "--requests", "20"], "prove nothing"),
    ],
)
def test_usage(words: list[str], said: str) -> None:
    """Wrong words end with 2 and a sentence"""
    done = run(sys.executable, INFRA / "scripts/canary_gate.py", *words)
    assert done.returncode == 2 and said in done.stderr, done.stderr


def test_nobody_there_fails() -> None:
    """Metrics that cannot be read fail the gate: 3, with the reason, never 0"""
    port = free_port()
    words = ("--canary", "canary", "--stable", STABLE, "--edge", f"http://127.0.0.1:{port}", "--tick", "0.1")
    done = run(sys.executable, INFRA / "scripts/canary_gate.py", *words, "--stale", "0.5", "--seconds", "20")
    assert done.returncode == 3 and "missing for 0.5 s" in done.stdout and "refused" in done.stdout, done.stdout
    done = run(sys.executable, INFRA / "scripts/canary_gate.py", *words, "--dial", "4", "--arrive", "0.5")
    assert done.returncode == 3 and "not in force" in done.stdout, done.stdout


def test_the_file_of_shares_names_every_pool() -> None:
    """What canary.sh writes keeps the chart's pools in the route, and the canary's chart has no way in of its own"""
    done = run("bash", "-c", f"source <(sed -n '/^values()/,/^}}/p' {INFRA}/scripts/canary.sh); STABLE={STABLE} values 4")
    assert done.returncode == 0, done.stderr
    written = yaml.safe_load(done.stdout)["config"]
    chart = yaml.safe_load((INFRA / "helm/thalweg-edge/values.yaml").read_text())["config"]
    named = {member["pool"]: member.get("dial") for member in written["route"]["all"]["pools"]}
    assert named == dict.fromkeys(chart["pool"]) | {"canary": 4}
    assert set(written["route"]) == set(chart["route"])
    folder = INFRA / "gitops/canary/azure"
    own = yaml.safe_load((folder / "fastapi-app.yaml").read_text())
    made = render("fastapi-app", merge(values_of("fastapi-app", "azure", "prod"), own), "fastapi-app-canary")
    assert not [m for m in made if m["kind"] in ("Gateway", "HTTPRoute", "Ingress", "Certificate")]
    (service,) = [m for m in made if m["kind"] == "Service"]
    address = f"{service['metadata']['name']}.apps.svc.cluster.local:{service['spec']['ports'][0]['port']}"
    assert written["pool"]["canary"]["endpoints"] == [{"address": address}]


# --- the whole of it ---------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def version(folder: pathlib.Path, name: str, **wrong: str) -> Iterator[int]:
    """A version of the application under uvicorn."""
    (folder / "version.py").write_text(VERSION)
    port = free_port()
    command = [ROOT / ".venv/bin/python", "-m", "uvicorn", "version:app", "--port", str(port), "--log-level", "warning"]
    process = subprocess.Popen(command, cwd=folder, env=os.environ | wrong | {"VERSION": name})
    try:
        for _ in range(200):
            with contextlib.suppress(OSError):
                get(port, "/health")
                break
            time.sleep(0.05)
        yield port
    finally:
        process.kill()
        process.wait()


class Clients:
    """Clients that ask the edge without a pause until they are told to stop; which version answered is counted."""

    def __init__(self, web: int) -> None:
        self.web, self.answers, self.over = web, {}, threading.Event()
        self.threads = [threading.Thread(target=self.ask, daemon=True) for _ in range(4)]

    def __enter__(self) -> Clients:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        for thread in self.threads:
            thread.join(10)

    def ask(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.web, timeout=10)
        while not self.over.is_set():
            connection.request("GET", "/", headers={"Host": "api.example.com"})
            answer = connection.getresponse()
            said = json.loads(answer.read()).get("version", "edge")
            self.answers[said] = self.answers.get(said, 0) + 1


# `helm template` by the same engine; there is no helm on PyPI that is a command.
HELM_STUB = f"""#!{sys.executable}
import sys
sys.path.insert(0, {str(INFRA / "tests")!r})
import yaml
from k8s import merge, render
words, values = sys.argv[1:], {{}}
assert words[:2] == ["template", "thalweg-edge"], words
for at, word in enumerate(words):
    if word == "--values":
        values = merge(values, yaml.safe_load(open(words[at + 1])) or {{}})
(text,) = [m["data"]["thalweg.toml"] for m in render("thalweg-edge", values) if m["kind"] == "ConfigMap"]
print("data:\\n  thalweg.toml: |\\n" + "".join("    " + line + "\\n" for line in text.splitlines()))
"""


def canary_values(repository: pathlib.Path, stable: int, canary: int) -> dict:
    """Values of the canary cloud's edge, with both versions on this machine."""
    committed = yaml.safe_load(run("git", "show", f"HEAD:{CANARY}", cwd=repository).stdout) or {}
    merged = merge(values("azure", stable), committed)
    if "canary" in merged["config"]["pool"]:
        merged["config"]["pool"]["canary"]["endpoints"] = [{"address": f"127.0.0.1:{canary}"}]
    return merged


@contextlib.contextmanager
def gitops(repository: pathlib.Path, edge: Edge, stable: int, canary: int) -> Iterator[None]:
    """What Argo CD and the kubelet do: whatever is committed is in the edge's config a moment later."""
    over = threading.Event()

    def follow() -> None:
        have = None
        while not over.wait(0.2):
            head = run("git", "rev-parse", "HEAD", cwd=repository).stdout
            if head != have:
                edge.swap(edge.text(canary_values(repository, stable, canary)))
                have = head

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    yield
    over.set()
    thread.join(10)


@pytest.fixture
def repository(tmp_path: pathlib.Path) -> pathlib.Path:
    """This repository as a clone of its own, with a `helm`."""
    (tmp_path / "clone").mkdir()
    clone = copied(tmp_path / "clone")
    for key, value in (("user.name", "ci"), ("user.email", "ci@example.com")):
        run("git", "config", key, value, cwd=clone)
    assert run("git", "commit", "--quiet", "--message", "as it is", cwd=clone).returncode == 0
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/helm").write_text(HELM_STUB)
    (tmp_path / "bin/helm").chmod(0o755)
    return clone


def canary(clone: pathlib.Path, *words: str, gate: str = "", **env: str) -> subprocess.CompletedProcess[str]:
    path = f"{clone.parent / 'bin'}:{os.environ['PATH']}"
    told = {"CANARY_PUSH": "true", "CANARY_GATE": gate, "THALWEG_BIN": str(find_edge()), "PATH": path, "DELIVERY_OVERRIDE": "test"}
    return run(clone / "infra/scripts/canary.sh", *words, **(told | env))


def committed(clone: pathlib.Path) -> list[str]:
    return run("git", "log", "--format=%s", cwd=clone).stdout.splitlines()[:-1][::-1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("wrong", "code", "steps"),
    [
        ({}, 0, [4, 25, 50]),
        ({"BAD_EVERY": "20"}, 1, [4, 0]),
        ({"LATE_S": "0.08"}, 1, [4, 0]),
        ({"BAD_EVERY": "10", "FINE_FIRST": "100"}, 1, [4, 0]),
    ],
    ids=["good", "5-percent-errors", "80-ms-later", "fine-for-100-requests"],
)
def test_canary(wrong, code, steps, repository, tmp_path, counted) -> None:
    """A good version goes 4, 25, 50; one that fails 5 %, is 80 ms later, or fails after 100 requests is taken back, seen by under 5 %"""
    with contextlib.ExitStack() as running_things:
        enter = running_things.enter_context
        stable, new = enter(version(tmp_path, "stable")), enter(version(tmp_path, "canary", **wrong))
        edge = enter(running(tmp_path / "edge", "azure", stable))
        enter(gitops(repository, edge, stable, new))
        clients = enter(Clients(edge.web))
        gate = f"--edge http://127.0.0.1:{edge.admin} --tick 0.5 --seconds 240 --arrive 60 --stale 30"
        done = canary(repository, "run", gate=gate)
        assert done.returncode == code, done.stdout + done.stderr
        assert committed(repository) == [f"deploy: canary at {share} percent" for share in steps], done.stderr
        if code:
            exposed = clients.answers.get("canary", 0) / sum(clients.answers.values())
            assert exposed < 0.05, f"{exposed:.1%} of {clients.answers}"
            for _ in range(100):
                dials = {pool["pool"]: pool["dial"] for pool in status(edge.admin)["routes"][0]["pools"]}
                if dials["canary"] == 0:
                    break
                time.sleep(0.1)
            assert dials["canary"] == 0, "the last good state is what runs"
            counted("requests, seen by the canary", clients.answers.get("canary", 0))


def test_a_config_that_the_edge_refuses_is_not_committed(repository) -> None:
    """Values that make a config which `thalweg check` refuses: exit 2, no commit, the file as before"""
    own = repository / "infra/gitops/values/thalweg-edge.yaml"
    own.write_text("config: { eject: { panic_threshold: 7 } }\n")
    before = (repository / CANARY).read_text()
    done = canary(repository, "set", "4")
    assert done.returncode == 2 and "nothing was committed" in done.stderr and "panic_threshold" in done.stderr, done.stderr
    assert committed(repository) == [] and (repository / CANARY).read_text() == before


def test_a_share_that_cannot_be_published_is_taken_back(repository) -> None:
    """A push that fails: exit 4, no commit is left behind, and what runs is said"""
    done = canary(repository, "set", "4", CANARY_PUSH="false")
    assert done.returncode == 4 and "have what they had" in done.stderr, done.stderr
    assert committed(repository) == []
    assert canary(repository, "set", "101").returncode == 2
    assert canary(repository, "set", "4").returncode == 0 and committed(repository) == ["deploy: canary at 4 percent"]
    again = canary(repository, "set", "4")
    assert again.returncode == 0 and "already" in again.stderr


def test_a_gate_without_metrics_takes_the_canary_back(repository) -> None:
    """No edge answers: exit 3, and the last commit has 0 percent"""
    gate = f"--edge http://127.0.0.1:{free_port()} --tick 0.1 --arrive 0.5"
    done = canary(repository, "run", gate=gate)
    assert done.returncode == 3, done.stdout + done.stderr
    assert committed(repository) == ["deploy: canary at 4 percent", "deploy: canary at 0 percent"]
