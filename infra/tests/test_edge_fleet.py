"""HTTP/3 and the fleet in the edge's chart, and three NATS servers: what is opened, mounted and kept; the servers' config, really run."""

from __future__ import annotations

import json
import pathlib
import re
import subprocess
import time
import tomllib
import urllib.request
from typing import Any

import pytest
import yaml
from conftest import INFRA, ROOT, skip_loudly
from edge import free_port
from k8s import CLOUDS, PUBLIC_KEY, STAGES, Manifest, of_kind, one, overlay, rendered, validate
from test_gitops_slots import not_restricted
from test_policy import judge

NATS = INFRA / "kustomize" / "nats"
UDP = {"port": 8443, "protocol": "UDP"}


def clients_rule(title: str) -> dict[str, Any]:
    """The rule that lets clients in."""
    (found,) = [
        rule
        for policy in of_kind(rendered()[title], "NetworkPolicy")
        for rule in policy["spec"].get("ingress", [])
        if any(peer.get("ipBlock", {}).get("cidr") == "0.0.0.0/0" for peer in rule["from"])
    ]
    return found


def test_http3_opens_udp_beside_tcp() -> None:
    """A listener with h3: the Service, the pod and the policy have its port over UDP, too; on AWS the balancer is told"""
    for title in ("thalweg-edge.http3", "thalweg-edge.http3-aws"):
        service = one(rendered()[title], "Service", "thalweg-edge")
        ports = {(port["protocol"], port["port"]): port["targetPort"] for port in service["spec"]["ports"]}
        assert ports.keys() == {("TCP", 443), ("UDP", 443)}
        container = one(rendered()[title], "Deployment")["spec"]["template"]["spec"]["containers"][0]
        named = {port["name"]: (port["protocol"], port["containerPort"]) for port in container["ports"]}
        assert named[ports["UDP", 443]] == ("UDP", 8443) and named[ports["TCP", 443]] == ("TCP", 8443)
        assert clients_rule(title)["ports"] == [{"port": 8443, "protocol": "TCP"}, UDP]
    note = "service.beta.kubernetes.io/aws-load-balancer-enable-tcp-udp-listener"
    assert service["metadata"]["annotations"][note] == "true"


def test_no_udp_without_http3(counted) -> None:
    """Without h3 no Service, no pod and no rule for clients has UDP"""
    titles = [f"thalweg-edge.{cloud}.{stage}" for cloud in CLOUDS for stage in STAGES]
    for title in titles:
        for service in of_kind(rendered()[title], "Service"):
            assert {port["protocol"] for port in service["spec"]["ports"]} == {"TCP"}
        assert {port["protocol"] for port in clients_rule(title)["ports"]} == {"TCP"}
        container = one(rendered()[title], "Deployment")["spec"]["template"]["spec"]["containers"][0]
        assert {port["protocol"] for port in container["ports"]} == {"TCP"}
    counted("value sets", len(titles))


def mounted(pod: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Mount path → the volume behind it."""
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    return {mount["mountPath"]: volumes[mount["name"]] for mount in pod["containers"][0]["volumeMounts"]}


def test_the_fleet_is_in_the_config() -> None:
    """fleet.enabled: servers, key, credentials and ring are in the config; every file that it names is mounted; bundles are kept"""
    manifests = rendered()["thalweg-edge.fleet"]
    data = one(manifests, "ConfigMap")["data"]
    config, pod = tomllib.loads(data["thalweg.toml"]), one(manifests, "Deployment")["spec"]["template"]["spec"]
    assert config["fleet"]["ring"] == "canary" and data["fleet.pub"] == PUBLIC_KEY
    assert config["fleet"]["verify"] == "fleet.pub", "beside thalweg.toml"
    volumes = mounted(pod)
    assert volumes["/etc/thalweg-fleet"]["secret"] == {"secretName": "fleet", "defaultMode": 0o440}
    assert config["fleet"]["credentials"] == "/etc/thalweg-fleet/credentials"
    assert config["fleet"]["ca"] == "/etc/thalweg-fleet/ca.crt"
    assert "emptyDir" in volumes[config["edge"]["state_dir"]]
    assert "name" not in config["edge"] and "name" not in config["fleet"], "each edge has the name of its pod"
    bare = tomllib.loads(one(rendered()["thalweg-edge.fleet-without-password"], "ConfigMap")["data"]["thalweg.toml"])
    assert bare["fleet"].keys() == {"nats", "verify", "ring"}
    assert "fleet" not in tomllib.loads(one(rendered()["thalweg-edge.aws.prod"], "ConfigMap")["data"]["thalweg.toml"])


def test_state_is_a_volume_of_the_pod() -> None:
    """state.enabled: `state_dir` is a volume that may be written to, of the size that was asked for"""
    manifests = rendered()["thalweg-edge.state"]
    folder = tomllib.loads(one(manifests, "ConfigMap")["data"]["thalweg.toml"])["edge"]["state_dir"]
    pod = one(manifests, "Deployment")["spec"]["template"]["spec"]
    (mount,) = [m for m in pod["containers"][0]["volumeMounts"] if m["mountPath"] == folder]
    assert not mount.get("readOnly") and mounted(pod)[folder]["emptyDir"] == {"sizeLimit": "1Gi"}
    assert pod["securityContext"]["fsGroup"] == pod["securityContext"]["runAsUser"], "or it may not write there"
    assert not not_restricted(manifests)


def ways_out(title: str) -> list[tuple[str, int]]:
    """(namespace, port) that the edges may call."""
    found = []
    for policy in of_kind(rendered()[title], "NetworkPolicy"):
        for rule in policy["spec"].get("egress", []):
            for peer in rule["to"]:
                space = peer.get("namespaceSelector", {}).get("matchLabels", {}).get("kubernetes.io/metadata.name")
                found += [(space, port["port"]) for port in rule["ports"]]
    return found


def server() -> dict[str, Any]:
    return one(overlay("nats"), "StatefulSet")["spec"]


def test_edges_reach_the_servers() -> None:
    """Edges may call the servers that the chart names, and the servers' policy lets them in; without a fleet nobody calls there"""
    config = tomllib.loads(one(rendered()["thalweg-edge.fleet"], "ConfigMap")["data"]["thalweg.toml"])
    space = one(overlay("nats"), "Namespace")["metadata"]["name"]
    spec, headless = server(), one(overlay("nats"), "Service", "nats")
    names = [f"nats://nats-{at}.{headless['metadata']['name']}.{space}.svc:4222" for at in range(spec["replicas"])]
    assert config["fleet"]["nats"] == names
    assert (space, 4222) in ways_out("thalweg-edge.fleet")
    assert (space, 4222) not in ways_out("thalweg-edge.aws.prod")
    rules = one(overlay("nats"), "NetworkPolicy", "nats")["spec"]["ingress"]
    lets = {
        (next(iter(peer.values()))["matchLabels"].popitem()[1], port["port"]) for rule in rules for peer in rule["from"] for port in rule["ports"]
    }
    assert lets == {("edges", 4222), ("nats", 6222)}, "8222 says much and asks for no password: the kubelet alone reads it"
    assert one(overlay("nats"), "NetworkPolicy", "default-deny")["spec"]["podSelector"] == {}


def test_two_of_three_servers_are_there() -> None:
    """Three servers on three nodes, each with its disk and its name; one away at a time; they begin together and end slowly"""
    spec = server()
    pod = spec["template"]["spec"]
    assert spec["replicas"] == 3 and spec["podManagementPolicy"] == "Parallel"
    assert one(overlay("nats"), "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1
    spread = {rule["topologyKey"]: rule["whenUnsatisfiable"] for rule in pod["topologySpreadConstraints"]}
    assert spread == {"topology.kubernetes.io/zone": "ScheduleAnyway", "kubernetes.io/hostname": "DoNotSchedule"}
    headless = one(overlay("nats"), "Service", spec["serviceName"])["spec"]
    assert headless["clusterIP"] == "None" and headless["publishNotReadyAddresses"] is True
    (claim,) = spec["volumeClaimTemplates"]
    (disk,) = [mount for mount in pod["containers"][0]["volumeMounts"] if mount["name"] == claim["metadata"]["name"]]
    text = (NATS / "nats.conf").read_text()
    assert f"store_dir: {disk['mountPath']}\n" in text
    assert int(re.search(r"max_file_store: (\d+)MB", text)[1]) * 10**6 < 2**30, claim["spec"]["resources"]["requests"]
    ends = sum(int(seconds) for seconds in re.findall(r"^lame_duck_\w+: (\d+)s$", text, re.MULTILINE))
    assert 0 < ends < pod["terminationGracePeriodSeconds"]


def test_servers_are_valid_and_keep_the_policies(counted) -> None:
    """Strictly valid; no policy is broken; Pod Security restricted, which the namespace asks for; no secret among them"""
    manifests = overlay("nats")
    counted("manifests", validate({"nats": manifests}))
    assert not judge(manifests) and not not_restricted(manifests)
    assert one(manifests, "Namespace")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert not of_kind(manifests, "Secret")


def program() -> pathlib.Path:
    found = ROOT / ".venv" / "bin" / "nats-server"
    if not found.exists():
        skip_loudly("nats-server", f"{found} is not there")
    return found


def environment(manifests: list[Manifest], pod: str, routes: list[int]) -> dict[str, str]:
    """What the kubelet makes of the container's variables, with the servers' addresses on this machine."""
    known = {"NATS_USER": "edges", "NATS_PASSWORD": "only-for-this-check", "POD_NAME": pod}
    (container,) = one(manifests, "StatefulSet")["spec"]["template"]["spec"]["containers"]
    for variable in container["env"]:
        if "value" in variable:
            known[variable["name"]] = re.sub(r"\$\((\w+)\)", lambda found: known[found[1]], variable["value"])
    assert not [variable for variable in container["env"] if variable["name"] not in known]
    for at, port in enumerate(routes):
        known[f"NATS_ROUTE_{at}"] = re.sub(r"@.*", f"@127.0.0.1:{port}", known[f"NATS_ROUTE_{at}"])
    return known


@pytest.fixture
def cluster(tmp_path):
    """Three servers from the shipped config: the admin ports."""
    manifests, binary = overlay("nats"), program()
    config = one(manifests, "ConfigMap")["data"]["nats.conf"]
    ports = [[free_port() for _ in range(3)] for _ in range(3)]
    running = []
    for at, (clients, admin, routes) in enumerate(ports):
        text = config
        for shipped, own in ((4222, clients), (8222, admin), (6222, routes)):
            assert text.count(f'"0.0.0.0:{shipped}"') == 1
            text = text.replace(f'"0.0.0.0:{shipped}"', f'"127.0.0.1:{own}"')
        file = tmp_path / f"{at}.conf"
        file.write_text(text.replace("store_dir: /data", f"store_dir: {tmp_path}/{at}"))
        env = environment(manifests, f"nats-{at}", [port[2] for port in ports])
        running.append(subprocess.Popen([binary, "--config", file], env=env, stderr=subprocess.DEVNULL))
    try:
        yield [port[1] for port in ports]
    finally:
        for process in running:
            process.kill()
            process.wait()


def ask(port: int, path: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
        return json.load(answer)


def until(seconds: float, seen) -> Any:
    """What `seen` returns once it is true; fails after that long."""
    deadline, last = time.monotonic() + seconds, None
    while time.monotonic() < deadline:
        try:
            if last := seen():
                return last
        except OSError as problem:
            last = problem
        time.sleep(0.05)
    pytest.fail(f"not within {seconds} s: {last}")


def test_three_servers_agree(cluster) -> None:
    """The servers' config, really run three times: they find each other by password, elect a leader, and write at once"""
    leads = until(30, lambda: ask(cluster[0], "/jsz").get("meta_cluster", {}).get("leader"))
    assert re.fullmatch(r"nats-[012]", leads)
    for port in cluster:
        jetstream = until(30, lambda port=port: len(ask(port, "/routez")["routes"]) >= 2 and ask(port, "/jsz"))
        assert jetstream["config"]["sync_always"] is True, "acknowledged is not yet written"
        assert ask(port, "/varz")["auth_required"] is True
        probe = server()["template"]["spec"]["containers"][0]["readinessProbe"]["httpGet"]["path"]
        assert until(30, lambda port=port, probe=probe: ask(port, probe))["status"] == "ok"


def test_the_page_says_how(counted) -> None:
    """The page of the fleet names the chart's values and the servers; the kustomization exists"""
    text = (ROOT / "docs" / "clouds.md").read_text(encoding="utf-8")
    named = re.findall(r"`(fleet\.(?!pub`)\w+|state\.\w+)`", text)
    values = yaml.safe_load((INFRA / "helm" / "thalweg-edge" / "values.yaml").read_text())
    assert {"fleet.publicKey", "fleet.secretName", "state.enabled"} <= set(named)
    for name in named:
        table, key = name.split(".")
        assert key in values[table]
    assert "infra/kustomize/nats" in text
    counted("values", len(named))
