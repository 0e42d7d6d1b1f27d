"""Loki, collectors, Jaeger and Grafana on a cluster: what their configurations name is mounted, served and let through.

The programs themselves are not here: that they take their configurations is not proven.
"""

from __future__ import annotations

import functools
import re
from typing import Any

import pytest
import yaml
from conftest import ROOT
from k8s import Manifest, of_kind, one, overlay, rendered, validate
from test_monitoring import MONITORING, load
from test_policy import judge

SETS = ("monitoring", "observability", "logs")


@functools.cache
def everything() -> list[Manifest]:
    """What is in the cluster together: the application that sends traces, too."""
    return [each for name in SETS for each in overlay(name)] + rendered()["fastapi-app.traced"]


def workload(name: str) -> Manifest:
    kinds = {"Deployment", "StatefulSet", "DaemonSet"}
    (found,) = [each for each in everything() if each["kind"] in kinds and each["metadata"]["name"] == name]
    return found


def container(name: str) -> dict[str, Any]:
    (only,) = workload(name)["spec"]["template"]["spec"]["containers"]
    return only


def test_objects_are_valid_and_keep_the_policies(counted) -> None:
    """Strictly valid; no policy is broken but one: who reads the nodes' logs is root, without any capability"""
    sets = {name: overlay(name) for name in ("observability", "logs")}
    counted("manifests", validate(sets))
    # The namespace's default deny comes with Prometheus.
    assert not judge(overlay("monitoring") + sets["observability"])
    assert {line.split(":")[0] for line in judge(sets["logs"])} == {"no-root"}
    security = container("fluent-bit")["securityContext"]
    assert security["capabilities"] == {"drop": ["ALL"]} and security["readOnlyRootFilesystem"]
    restricted = one(overlay("monitoring"), "Namespace")["metadata"]["labels"]
    assert restricted["pod-security.kubernetes.io/enforce"] == "restricted"
    assert "hostPath" not in yaml.safe_dump_all(sets["observability"])


CONFIGS = {
    "loki": "logs/loki.yaml",
    "fluent-bit": "logs/fluent-bit.yaml",
    "otel-collector": "traces/otel-collector.yaml",
    "jaeger": "traces/jaeger.yaml",
    "grafana": "grafana/dashboards.yml",
}


def mounted(name: str) -> dict[str, set[str]]:
    """Mount path → the files that its volume brings; none for one that is written to."""
    spec = workload(name)["spec"]
    volumes = {each["name"]: each for each in spec["template"]["spec"]["volumes"]}
    volumes |= {each["metadata"]["name"]: {} for each in spec.get("volumeClaimTemplates", [])}
    found: dict[str, set[str]] = {}
    for mount in container(name)["volumeMounts"]:
        volume, files = volumes[mount["name"]], set()
        parts = volume.get("projected", {}).get("sources", [volume] if "configMap" in volume else [])
        for part in parts:
            if "configMap" in part and "items" not in part["configMap"]:
                files |= set(one(everything(), "ConfigMap", part["configMap"]["name"])["data"])
            for source in part.values():
                if isinstance(source, dict):
                    files |= {item["path"] for item in source.get("items", [])}
        found[mount["mountPath"]] = files
    return found


@pytest.mark.parametrize("name", CONFIGS)
def test_what_a_configuration_names_is_mounted(name: str, counted) -> None:
    """Every path in a configuration is in a volume, read-only ones with that file; its own file is where the program looks"""
    text = (MONITORING / CONFIGS[name]).read_text()
    paths = {path.removesuffix("/*.log") for path in re.findall(r"[ \"]((?:/[a-z-]+){2,}[\w./*-]*)", text)}
    paths |= {arg.partition("=")[2] for arg in container(name).get("args", []) if "=/" in arg}
    volumes = mounted(name)
    for path in paths:
        home = next((mount for mount in volumes if f"{path}/".startswith(f"{mount}/")), None)
        assert home, f"{path} is in no volume"
        if path != home and volumes[home]:
            assert path.removeprefix(f"{home}/") in volumes[home], f"{path} is not in {home}"
    assert paths
    counted("paths", len(paths))


def test_grafana_has_its_provisions() -> None:
    """Grafana finds data sources, the provider and every dashboard; its password is a Secret that the page makes"""
    volumes = mounted("grafana")
    assert volumes["/etc/grafana/provisioning/datasources"] == {"datasources.yml"}
    assert volumes["/etc/grafana/provisioning/dashboards"] == {"dashboards.yml"}
    assert volumes["/etc/grafana/dashboards"] == {path.name for path in (MONITORING / "dashboards").glob("*.json")}
    (secret,) = [e["valueFrom"]["secretKeyRef"]["name"] for e in container("grafana")["env"] if "valueFrom" in e]
    page = (ROOT / "docs/monitoring.md").read_text()
    assert f"kubectl -n monitoring create secret generic {secret} --from-literal=password=" in page
    assert all(f"kubectl apply -k infra/kustomize/{name}" in page for name in SETS)


def test_loki_is_told_its_bucket(counted) -> None:
    """Every variable that loki.yaml reads is given, and read: expand-env is on; each cloud's store is there"""
    config = (MONITORING / "logs/loki.yaml").read_text()
    asked = set(re.findall(r"\$\{(\w+)", config))
    assert "-config.expand-env=true" in container("loki")["args"]
    (source,) = container("loki")["envFrom"]
    given = one(everything(), "ConfigMap", source["configMapRef"]["name"])["data"]
    assert asked == set(given), asked ^ set(given)
    stores = set(load(MONITORING / "logs/loki.yaml")["storage_config"]) - {"tsdb_shipper"}
    assert stores == {"aws", "gcs", "azure"} and given["LOKI_STORE"] in {"s3", "gcs", "azure"}
    counted("variables", len(asked))


def peers(rule: dict[str, Any], side: str, home: str, peer: tuple[str, dict[str, str]]) -> bool:
    """Does one rule of a policy in the namespace `home` name this pod?"""
    if side not in rule:
        return True
    namespace, labels = peer
    for each in rule[side]:
        spaces, pods = each.get("namespaceSelector"), each.get("podSelector")
        wanted = {"kubernetes.io/metadata.name": namespace}
        here = namespace == home if spaces is None else spaces.get("matchLabels", {}).items() <= wanted.items()
        if "ipBlock" not in each and here and (pods or {}).get("matchLabels", {}).items() <= labels.items():
            return True
    return False


def lets(pod: tuple[str, dict[str, str]], side: str, peer: tuple[str, dict[str, str]], port: int) -> bool:
    """Do the policies of a pod let it talk (`to`), or be talked to (`from`)?"""
    home, labels = pod
    direction = {"to": "egress", "from": "ingress"}[side]
    return any(
        peers(rule, side, home, peer) and ("ports" not in rule or port in [p["port"] for p in rule["ports"]])
        for policy in of_kind(everything(), "NetworkPolicy")
        if policy["metadata"]["namespace"] == home
        and policy["spec"]["podSelector"].get("matchLabels", {}).items() <= labels.items()
        for rule in policy["spec"].get(direction, [])
    )


def pod(name: str) -> tuple[str, dict[str, str]]:
    found = workload(name)
    return found["metadata"]["namespace"], found["spec"]["template"]["metadata"]["labels"]


def calls() -> set[tuple[str, str, int]]:
    """(who, whom, port) as the configurations have it."""
    sources = (MONITORING / "grafana/datasources.yml").read_text()
    found = {("grafana", host, int(port)) for host, port in re.findall(r"http://(\S+)\.monitoring:(\d+)", sources)}
    (loki,) = load(MONITORING / "logs/fluent-bit.yaml")["pipeline"]["outputs"]
    found.add(("fluent-bit", loki["host"].removesuffix(".monitoring"), loki["port"]))
    sends_to = load(MONITORING / "traces/otel-collector.yaml")["exporters"]["otlp/jaeger"]["endpoint"]
    found.add(("otel-collector", sends_to.split(".")[0], int(sends_to.split(":")[1])))
    env = {each["name"]: each.get("value") for each in container("fastapi-app")["env"]}
    collector = re.fullmatch(r"http://(\S+)\.monitoring:(\d+)", env["OTEL_EXPORTER_OTLP_ENDPOINT"])
    return found | {("fastapi-app", collector[1], int(collector[2]))}


def test_who_calls_is_answered_and_let_through(counted) -> None:
    """Every address that a configuration names is a Service's, and the policies of both sides let the call through"""
    for who, whom, port in calls():
        service = one(everything(), "Service", whom)
        assert service["metadata"]["namespace"] == "monitoring"
        (entry,) = [each for each in service["spec"]["ports"] if each["port"] == port]
        named = {each["name"]: each["containerPort"] for each in container(whom)["ports"]}
        listens = named.get(entry["targetPort"], entry["targetPort"])
        assert lets(pod(who), "to", pod(whom), listens), f"{who} may not call {whom}:{listens}"
        assert lets(pod(whom), "from", pod(who), listens), f"{whom}:{listens} does not let {who} in"
    assert len(calls()) == 7
    # And not whoever likes.
    assert not lets(pod("loki"), "from", ("apps", {}), 3100)
    (certificate,) = of_kind(overlay("observability"), "Certificate")
    sends_to = load(MONITORING / "traces/otel-collector.yaml")["exporters"]["otlp/jaeger"]["endpoint"]
    assert certificate["spec"]["dnsNames"] == [sends_to.split(":")[0]]
    counted("calls", len(calls()))
