"""What a schema cannot see on the plain cluster: who is let in where something is watched, what a namespace admits, what a probe asks."""

from __future__ import annotations

import ipaddress

import pytest
from k8s import STAGES, of_kind, one, overlay

# What is not routed on the Internet.
PRIVATE = [ipaddress.ip_network(each) for each in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")]


@pytest.mark.parametrize("name", [*(f"overlays/{stage}" for stage in STAGES), "monitoring"])
def test_namespaces_refuse_privileged_pods(name: str) -> None:
    """The cluster itself refuses a pod that is root: Pod Security `restricted`, enforced"""
    labels = one(overlay(name), "Namespace")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


@pytest.mark.parametrize("stage", STAGES)
def test_probes_ask_the_right_question(stage: str) -> None:
    """Ready: the stores can be reached. Alive and started: the process answers, whatever its stores do"""
    (container,) = one(overlay(f"overlays/{stage}"), "Deployment")["spec"]["template"]["spec"]["containers"]
    asked = {name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "readiness", "liveness")}
    assert asked == {"startup": "/alive", "readiness": "/ready", "liveness": "/alive"}


def test_who_reaches_what_watches(counted) -> None:
    """Prometheus is read from private networks; Alertmanager and kube-state-metrics answer Prometheus alone"""
    manifests = overlay("monitoring")
    for policy in of_kind(manifests, "NetworkPolicy"):
        for rule in policy["spec"].get("ingress", []):
            for peer in rule["from"]:
                if "ipBlock" in peer:
                    network = ipaddress.ip_network(peer["ipBlock"]["cidr"])
                    assert any(network.subnet_of(each) for each in PRIVATE), (policy["metadata"]["name"], str(network))
    for name in ("alertmanager", "kube-state-metrics"):
        rules = one(manifests, "NetworkPolicy", name)["spec"]["ingress"]
        wanted = {"podSelector": {"matchLabels": {"app.kubernetes.io/name": "prometheus"}}}
        assert [rule["from"] for rule in rules] == [[wanted]], name
    counted("policies", len(of_kind(manifests, "NetworkPolicy")))
