"""The gate of edges, really run against real edges: agreement on the config, health, traffic; and waves that it stops."""

from __future__ import annotations

import contextlib
import http.server
import importlib.util
import pathlib
import subprocess
import sys
import threading
import time
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import run
from edge import find_edge, free_port, get, status
from k8s import CLOUDS, HELM, PUBLIC_KEY, STAGES, merge, of_kind, one, render, rendered, values_of
from test_gitops import cloud_releases, generated, read

TOKEN = "only-for-this-check"
POOLS = ("aws-us-east-1", "gcp-europe-west1", "azure-southeastasia")


class Region(http.server.BaseHTTPRequestHandler):
    """A region: healthy always; what else it answers, and how late, is its server's to say."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        probe = self.path == "/health"
        if not probe:
            time.sleep(self.server.late_s)
        self.send_response(200 if probe else self.server.answer)
        body = b'{"status":"ok"}'
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing is written: the test reads the edge, not the region."""


@contextlib.contextmanager
def region(answer: int = 200, late_s: float = 0.0) -> Iterator[int]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Region) as server:
        server.daemon_threads, server.answer, server.late_s = True, answer, late_s
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def values(cloud: str, port: int, **config: Any) -> dict[str, Any]:
    """Production's values of a cloud, with regions on this machine and without TLS."""
    here = {
        "listeners": [{"name": "web", "port": 8080, "servicePort": 80}],
        "certificate": {"enabled": False},
        "externalSecret": {"enabled": False},
        "secretName": "admin",
        "drain": {"delaySeconds": 0},
        "config": {"pool": {name: {"endpoints": [{"address": f"127.0.0.1:{port}"}]} for name in POOLS}},
    }
    return merge(merge(values_of("thalweg-edge", cloud, "prod"), here), {"config": config})


class Edge:
    """A real edge whose config comes as the kubelet brings it: a new folder, then one link swapped."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder, self.admin, self.web, self.version = folder, free_port(), free_port(), 0
        (folder / "volume").mkdir(parents=True)
        (folder / "token").write_text(TOKEN, encoding="utf-8")

    def text(self, values: dict[str, Any]) -> str:
        text = one(render("thalweg-edge", values), "ConfigMap")["data"]["thalweg.toml"]
        for old, new in (
            ("0.0.0.0:9900", f"127.0.0.1:{self.admin}"),
            ("0.0.0.0:8080", f"127.0.0.1:{self.web}"),
            ("/etc/thalweg-admin/token", str(self.folder / "token")),
        ):
            assert old in text, f"the config names {old} no more"
            text = text.replace(old, new)
        return text

    def render(self, text: str) -> None:
        """What the gate's pod mounts: the config that was synced, whatever the edges have so far."""
        (self.folder / "rendered").mkdir(exist_ok=True)
        (self.folder / "rendered" / "thalweg.toml").write_text(text, encoding="utf-8")

    def swap(self, text: str) -> None:
        """What the kubelet does some time later."""
        self.version += 1
        volume = self.folder / "volume"
        (volume / f"..{self.version}").mkdir()
        (volume / f"..{self.version}" / "thalweg.toml").write_text(text, encoding="utf-8")
        (volume / "..next").symlink_to(f"..{self.version}")
        (volume / "..next").rename(volume / "..data")
        if self.version == 1:
            (volume / "thalweg.toml").symlink_to("..data/thalweg.toml")

    def sync(self, text: str) -> None:
        self.render(text)
        self.swap(text)

    def ask(self, requests: int) -> None:
        for _ in range(requests):
            request = urllib.request.Request(f"http://127.0.0.1:{self.web}/", headers={"Host": "api.example.com"})
            with contextlib.suppress(urllib.error.HTTPError), urllib.request.urlopen(request, timeout=10) as answer:
                answer.read()


@contextlib.contextmanager
def running(folder: pathlib.Path, cloud: str, port: int) -> Iterator[Edge]:
    edge = Edge(folder)
    edge.sync(edge.text(values(cloud, port)))
    with started(edge):
        yield edge


@contextlib.contextmanager
def started(edge: Edge) -> Iterator[None]:
    with open(edge.folder / "log", "w", encoding="utf-8") as log:
        process = subprocess.Popen([find_edge(), "run", "--config", edge.folder / "volume" / "thalweg.toml"], stdout=log, stderr=log)
        try:
            assert get(edge.admin, "/livez")[0] == 200, (edge.folder / "log").read_text()
            yield
        finally:
            process.kill()
            process.wait()


def script() -> str:
    """The program as it stands in the rendered pod."""
    pod = one(rendered()["thalweg-edge.azure.prod"], "Pod")
    return pod["spec"]["containers"][0]["command"][2]


def gate(*edges: Edge, wait: float = 10, bake: float = 1, **env: object) -> subprocess.CompletedProcess[str]:
    told: dict[str, object] = {
        "EDGES": ",".join(f"127.0.0.1:{edge.admin}" for edge in edges),
        "CONFIG": edges[0].folder / "rendered",
        "TOKEN_FILE": edges[0].folder / "token",
        "WAIT": wait,
        "BAKE": bake,
        "ERROR_SHARE": 0.02,
        "P99": 250,
        "MIN_REQUESTS": 50,
        "TICK": 0.2,
        "PATIENCE": 1,
    }
    env = {name: str(value) for name, value in (told | env).items()}
    return run(sys.executable, "-c", script(), **env)


@pytest.fixture
def edge(tmp_path: pathlib.Path) -> Iterator[Edge]:
    with region() as port, running(tmp_path / "edge", "azure", port) as edge:
        edge.port = port
        yield edge


def test_gate_waits_for_the_kubelet(edge) -> None:
    """A changed config that reaches the edge only seconds after the sync: the gate waits, and passes then, not before"""
    assert gate(edge).returncode == 0
    new = edge.text(values("azure", edge.port, limits={"header_count": 50}))
    edge.render(new)
    early = gate(edge, wait=1)
    assert early.returncode == 1 and "another config is in force" in early.stdout
    threading.Timer(2, edge.swap, (new,)).start()
    began = time.monotonic()
    done = gate(edge, wait=20)
    assert done.returncode == 0, done.stdout + done.stderr
    assert time.monotonic() - began > 2 and status(edge.admin)["generation"] == 2


def test_gate_asks_every_edge(edge, tmp_path) -> None:
    """One edge of two with an old config, or one that is gone, stops it and is named"""
    with region() as port, running(tmp_path / "other", "azure", port) as other:
        done = gate(edge, other, wait=1)
        assert done.returncode == 1
        assert f"127.0.0.1:{other.admin}: another config" in done.stdout and f":{edge.admin}:" not in done.stdout
    done = gate(edge, other, wait=1)
    assert done.returncode == 1 and f"127.0.0.1:{other.admin}: no status" in done.stdout
    assert gate(edge, wait=1, EDGES="nothing.invalid:9900").returncode == 1


def test_gate_sees_a_rejected_reload(edge) -> None:
    """A config that the edge refuses: the gate stops and says what the edge said"""
    broken = edge.text(values("azure", edge.port)) + "\n[nonsense]\na = 1\n"
    edge.sync(broken)
    done = gate(edge, wait=3)
    assert done.returncode == 1 and "rejected" in done.stdout and "nonsense" in done.stdout, done.stdout


def test_gate_wants_an_endpoint_in_every_pool(edge) -> None:
    """One pool of three whose address leads nowhere: valid, ready, and stopped"""
    lost = {"pool": {"gcp-europe-west1": {"endpoints": [{"address": f"127.0.0.1:{free_port()}"}]}}}
    edge.sync(edge.text(values("azure", edge.port, **lost)))
    done = gate(edge, wait=4)
    assert done.returncode == 1 and "pool gcp-europe-west1 has no available endpoint" in done.stdout, done.stdout
    assert get(edge.admin, "/readyz")[0] == 200, "readiness alone would have let it through"


def test_gate_and_command_agree(edge) -> None:
    """`thalweg status --healthy --expect-config HASH` says the same of one edge: of a good config, another one, a lost pool"""
    module = own_module()
    hashed = module.config_hash(edge.folder / "rendered", edge.folder / "token")

    def command(expected: str, wait: str = "5s") -> subprocess.CompletedProcess[str]:
        asked = ("--admin", f"http://127.0.0.1:{edge.admin}", "--healthy", "--expect-config", expected, "--wait", wait)
        return run(find_edge(), "status", *asked)

    assert command(hashed).returncode == gate(edge).returncode == 0
    other = command("0" * 64, "1s")
    assert other.returncode == 1 and hashed in other.stderr, "the hash is the edge's own, to the last digit"
    lost = {"pool": {"gcp-europe-west1": {"endpoints": [{"address": f"127.0.0.1:{free_port()}"}]}}}
    edge.sync(edge.text(values("azure", edge.port, **lost)))
    hashed = module.config_hash(edge.folder / "rendered", edge.folder / "token")
    said = "pool gcp-europe-west1 has no available endpoint"
    by_command, by_gate = command(hashed, "4s"), gate(edge, wait=2)
    assert by_command.returncode == by_gate.returncode == 1
    assert said in by_command.stderr and said in by_gate.stdout, by_command.stderr


def own_module():
    """The program as a module, for what needs no edge."""
    spec = importlib.util.spec_from_file_location("gate", HELM / "thalweg-edge" / "files" / "gate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_gate_counts_what_came_since_it_began(monkeypatch, counted) -> None:
    """Counters of several edges add up from where they stood; one that restarts begins at nothing, none counts backwards"""
    module = own_module()
    inf = float("inf")
    seen = {
        ("a", 1): [({"2xx": 1000}, {0.1: 900, inf: 1000}), ({"2xx": 1090, "5xx": 10}, {0.1: 1000, inf: 1100})],
        ("b", 1): [({"2xx": 500}, {0.1: 500, inf: 500}), ({"2xx": 50}, {0.1: 40, inf: 50})],
    }
    monkeypatch.setattr(module, "addresses", lambda names: sorted(seen))
    traffic = module.Traffic()
    for look in (0, 1):
        monkeypatch.setattr(module, "counts", lambda address, look=look: seen[address][look])
        traffic.look("any:1")
    assert traffic.classes == {"2xx": 90 + 50, "5xx": 10} and traffic.requests() == 150
    assert traffic.buckets == {0.1: 100 + 40, inf: 100 + 50} and traffic.p99_s() == inf
    for limits, said in (
        ((0.05, 1.0, 100), "6.7% of 150 requests failed; 5.0% may"),
        ((0.1, 1.0, 100), "the 99th percentile is within inf s; it may be 1.0 s"),
        ((0.1, inf, 100), None),
        ((0.0, 0.0, 151), None),
    ):
        assert module.judged(traffic, *limits) == said
    counted("verdicts", 4)


def test_gate_leaves_out_who_drains(monkeypatch, counted) -> None:
    """An old pod that drains with an old config stops nobody; where no other edge is there, nothing passes"""
    module, said = own_module(), {}
    monkeypatch.setattr(module, "addresses", lambda names: sorted(said))
    monkeypatch.setattr(module, "wrong", lambda address, expected: said[address])
    for answers, wanted in (
        ({("a", 1): None, ("b", 1): module.DRAINS}, {}),
        ({("a", 1): "old", ("b", 1): module.DRAINS}, {"a:1": "old"}),
        ({("b", 1): module.DRAINS}, {"any:1": "no edge is there"}),
        ({}, {"any:1": "no edge is there"}),
    ):
        said.clear()
        said.update(answers)
        assert module.complaints("any:1", "hash") == wanted
    counted("cases", 4)


@pytest.mark.slow
def test_gate_judges_the_traffic(tmp_path) -> None:
    """During the bake: good answers pass, failed ones and late ones stop it, too few are said to be too few"""
    for title, (answer, late_s, requests), verdict, said in (
        ("good", (200, 0.0, 80), 0, "passed; 80 requests"),
        ("failing", (500, 0.0, 80), 1, "requests failed"),
        ("late", (200, 0.3, 60), 1, "the 99th percentile is within 0.5 s"),
        ("few", (500, 0.0, 2), 0, "passed; 2 requests: too few to judge"),
    ):
        with region(answer, late_s) as port, running(tmp_path / title, "azure", port) as edge:
            # The bake counts from when it begins: nothing that was before speaks against a release.
            assert gate(edge).returncode == 0
            size = min(5, requests)
            crowd = [threading.Thread(target=edge.ask, args=(requests // size,)) for _ in range(size)]
            threading.Timer(1.5, lambda crowd=crowd: [one.start() for one in crowd]).start()
            done = gate(edge, bake=6, PATIENCE=20)
            assert done.returncode == verdict and said in done.stdout, (title, done.stdout, done.stderr)
            for one in crowd:
                one.join()


def argo_order() -> list[str]:
    """Clouds as the ApplicationSet's steps update them."""
    applications = one(read("argocd/edges.yaml"), "ApplicationSet")
    steps = applications["spec"]["strategy"]["rollingSync"]["steps"]
    waves = [step["matchExpressions"][0]["values"] for step in steps]
    made = [app["metadata"]["labels"] for app in generated(applications)]
    return [labels["cloud"] for wave in waves for labels in made if labels["wave"] in wave]


def flux_order() -> list[str]:
    """Clouds as their Kustomizations depend on each other."""
    after = {wave["metadata"]["name"]: [d["name"] for d in wave["spec"].get("dependsOn", [])] for wave in read("flux/waves.yaml")}
    order: list[str] = []
    while len(order) < len(CLOUDS):
        order += [c for c in CLOUDS if c not in order and set(after[c]) & set(CLOUDS) <= set(order)][:1]
    return order


def renamed(port: int) -> dict[str, Any]:
    """Every pool under another name and address, as in a slip with a region: valid, and nothing is there."""
    new = {f"{name}-2": {"probe": "fastapi", "endpoints": [{"address": f"api.{name}-2.invalid:443", "tls": {}}]} for name in POOLS}
    route = {"all": {"pools": [{"pool": name} for name in new]}}
    return {"pool": dict.fromkeys(POOLS) | new, "route": route}


ORDERS = [argo_order, pytest.param(flux_order, marks=pytest.mark.slow)]


@pytest.mark.parametrize("order", ORDERS, ids=["argo", "flux"])
def test_a_wrong_config_stops_in_the_canary_cloud(order, tmp_path, counted) -> None:
    """All pools renamed: `thalweg check` takes it, the canary's gate stops it, and the other clouds keep their config"""
    clouds = order()
    assert clouds[0] == "azure" and set(clouds) == set(CLOUDS)
    with contextlib.ExitStack() as stack:
        port = stack.enter_context(region())
        edges = {cloud: stack.enter_context(running(tmp_path / cloud, cloud, port)) for cloud in clouds}

        def roll_out(wait: float, config: dict[str, Any]) -> list[str]:
            """The clouds that were touched: each waits for the gate of the one before."""
            touched = []
            for cloud in clouds:
                touched.append(cloud)
                edges[cloud].sync(edges[cloud].text(values(cloud, port, **config)))
                if gate(edges[cloud], wait=wait).returncode:
                    break
            return touched

        def generations() -> dict[str, int]:
            return {cloud: status(edge.admin)["generation"] for cloud, edge in edges.items()}

        assert roll_out(15, {"limits": {"header_count": 50}}) == clouds, "a good one reaches every cloud"
        assert generations() == dict.fromkeys(clouds, 2)
        bad = tmp_path / "bad.toml"
        bad.write_text(edges["azure"].text(values("azure", port, **renamed(port))), encoding="utf-8")
        checked = run(find_edge(), "check", "--config", bad)
        assert checked.returncode == 0, checked.stdout + checked.stderr
        assert set(tomllib.loads(bad.read_text())["pool"]) == {f"{name}-2" for name in POOLS}
        assert roll_out(4, renamed(port)) == ["azure"]
        assert generations() == {"azure": 3, "aws": 2, "gcp": 2}
    counted("edges", len(clouds))


def test_gate_is_in_every_release(counted) -> None:
    """Each stage's gate runs after a sync and in helm's test, on every pod by a headless Service, within the tools' patience"""
    for cloud in CLOUDS:
        for stage in STAGES:
            manifests = rendered()[f"thalweg-edge.{cloud}.{stage}"]
            pod = one(manifests, "Pod")
            notes = pod["metadata"]["annotations"]
            assert (notes["argocd.argoproj.io/hook"], notes["helm.sh/hook"]) == ("PostSync", "test")
            env = {item["name"]: item["value"] for item in pod["spec"]["containers"][0]["env"]}
            host, port = env["EDGES"].split(":")
            service = one(manifests, "Service", host)["spec"]
            assert service["clusterIP"] == "None" and service["publishNotReadyAddresses"] is True
            assert [entry["port"] for entry in service["ports"]] == [int(port)]
            labels = one(manifests, "Deployment")["spec"]["template"]["metadata"]["labels"]
            assert service["selector"].items() <= labels.items()
            assert not service["selector"].items() <= pod["metadata"]["labels"].items(), "it would ask itself"
            longest = int(env["WAIT"]) + int(env["BAKE"])
            assert int(env["WAIT"]) == 180 and longest < pod["spec"]["activeDeadlineSeconds"]
            (mounted,) = [v["configMap"]["name"] for v in pod["spec"]["volumes"] if "configMap" in v]
            assert mounted == one(manifests, "ConfigMap")["metadata"]["name"]
            let = one(manifests, "NetworkPolicy", "thalweg-edge-test")["spec"]
            assert let["podSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
            assert 9900 in [p["port"] for rule in let["egress"] for p in rule["ports"]]
        env = {item["name"]: item["value"] for item in one(rendered()[f"thalweg-edge.{cloud}.prod"], "Pod")["spec"]["containers"][0]["env"]}
        assert int(env["BAKE"]) == 300 and float(env["ERROR_SHARE"]) == 0.02
        for release in of_kind(cloud_releases(cloud), "HelmRelease"):
            deadline = one(rendered()["thalweg-edge.aws.prod"], "Pod")["spec"]["activeDeadlineSeconds"]
            assert int(release["spec"]["timeout"].removesuffix("m")) * 60 > deadline
            assert release["spec"]["test"]["enable"] is True
    assert not of_kind(rendered()["thalweg-edge.host-network"], "Pod"), "the admin port is on loopback there"
    counted("value sets", len(CLOUDS) * len(STAGES))


def test_gate_knows_a_fleets_config(tmp_path) -> None:
    """An edge of a fleet whose servers are away: its hash covers the key and the password, and the gate makes the same one"""
    fleet = {"enabled": True, "publicKey": PUBLIC_KEY, "secretName": "fleet", "servers": [f"nats://127.0.0.1:{free_port()}"]}
    with region() as port:
        edge = Edge(tmp_path / "edge")
        told = merge(values("azure", port), {"fleet": fleet})
        text = edge.text(told).replace("/etc/thalweg-fleet/", f"{edge.folder}/").replace("/var/lib/thalweg", str(edge.folder / "state"))
        (edge.folder / "credentials").write_text("edges:only-for-this-check\n")
        edge.sync(text)
        for folder in ("volume", "rendered"):
            (edge.folder / folder / "fleet.pub").write_text(PUBLIC_KEY)
        files = f"{edge.folder}/rendered/fleet.pub,{edge.folder}/credentials"
        # By the link the edge reads it beside its config.
        (edge.folder / "volume" / f"..{edge.version}" / "fleet.pub").write_text(PUBLIC_KEY)
        with started(edge):
            done = gate(edge, FLEET=files)
            assert done.returncode == 0, done.stdout + done.stderr
            assert status(edge.admin)["fleet"]["connected"] is False
            other = gate(edge, wait=1)
            assert other.returncode == 1 and "another config is in force" in other.stdout, "the key is a part of the config"
