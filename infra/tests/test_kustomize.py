"""The overlays for a plain cluster: every number that was asked for, strictly valid manifests."""

from __future__ import annotations

import pytest
import yaml
from k8s import KUSTOMIZE, Manifest, of_kind, one, overlay, validate

OVERLAYS = ("overlays/dev", "overlays/stage", "overlays/prod", "monitoring")
# overlay: node port, pods, requests and limits of memory, of CPU
NUMBERS = {
    "dev": (30080, 2, "64Mi", "256Mi", "50m", "500m"),
    "stage": (30081, 2, "128Mi", "256Mi", "100m", "500m"),
    "prod": (30082, 3, "128Mi", "512Mi", "100m", "1000m"),
}


def replicas(manifests: list[Manifest]) -> int:
    """Pods at rest: of the autoscaler if there is one, which then must be the only one to say."""
    fixed = one(manifests, "Deployment")["spec"].get("replicas")
    scalers = of_kind(manifests, "HorizontalPodAutoscaler")
    assert (fixed is None) == bool(scalers), "either the Deployment or the autoscaler says how many"
    return scalers[0]["spec"]["minReplicas"] if scalers else fixed


def test_overlays_are_valid(counted):
    """`kubectl kustomize` builds every overlay; the result is strictly valid."""
    built = {name.replace("/", "-"): overlay(name) for name in OVERLAYS}
    assert all(len(manifests) > 5 for manifests in built.values())
    counted("manifests", validate(built))


@pytest.mark.parametrize("stage", NUMBERS)
def test_numbers_of_a_stage(stage, counted):
    """Namespace, node port, pods, memory and CPU of a stage are the ones asked for."""
    manifests = overlay(f"overlays/{stage}")
    app = one(manifests, "Deployment")["spec"]["template"]["spec"]["containers"][0]
    wanted, given = app["resources"]["requests"], app["resources"]["limits"]
    port = one(manifests, "Service")["spec"]["ports"][0]["nodePort"]
    found = (
        port,
        replicas(manifests),
        wanted["memory"],
        given["memory"],
        wanted["cpu"],
        given["cpu"],
    )
    assert found == NUMBERS[stage]
    assert one(manifests, "Namespace")["metadata"]["name"] == stage
    for manifest in manifests:
        assert manifest["metadata"].get("namespace", stage) == stage
    counted("numbers", len(found))


def test_production_scales():
    """Production: 3 to 10 pods on CPU 70 % and memory 80 %; down only after five quiet minutes."""
    spec = one(overlay("overlays/prod"), "HorizontalPodAutoscaler")["spec"]
    targets = {
        m["resource"]["name"]: m["resource"]["target"]["averageUtilization"]
        for m in spec["metrics"]
    }
    assert (spec["minReplicas"], spec["maxReplicas"]) == (3, 10)
    assert targets == {"cpu": 70, "memory": 80}
    assert spec["behavior"]["scaleDown"]["stabilizationWindowSeconds"] == 300
    assert (
        spec["scaleTargetRef"]["name"]
        == one(overlay("overlays/prod"), "Deployment")["metadata"]["name"]
    )


@pytest.mark.parametrize("stage", NUMBERS)
def test_what_belongs_together_does(stage):
    """Service, budget and policies select the pods that the Deployment makes."""
    manifests = overlay(f"overlays/{stage}")
    labels = one(manifests, "Deployment")["spec"]["template"]["metadata"]["labels"].items()
    assert one(manifests, "Service")["spec"]["selector"].items() <= labels
    assert (
        one(manifests, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"].items() <= labels
    )
    assert one(manifests, "NetworkPolicy", "default-deny")["spec"]["podSelector"] == {}
    allowed = one(manifests, "NetworkPolicy", "fastapi-app")["spec"]
    assert allowed["podSelector"]["matchLabels"].items() <= labels
    assert {port["port"] for rule in allowed["ingress"] for port in rule["ports"]} == {8000}
    app = one(manifests, "Deployment")["spec"]["template"]["spec"]["containers"][0]
    assert app["image"].rpartition(":")[2] not in ("latest", "fastapi-app")
    assert one(manifests, "ServiceAccount")["automountServiceAccountToken"] is False


def test_monitoring():
    """Prometheus: namespace, node port 30090, 15 s, complete relabelling, rights to look."""
    manifests = overlay("monitoring")
    assert one(manifests, "Namespace")["metadata"]["name"] == "monitoring"
    assert one(manifests, "Service", "prometheus")["spec"]["ports"][0]["nodePort"] == 30090
    rules = [rule for role in of_kind(manifests, "ClusterRole") for rule in role["rules"]]
    assert {verb for rule in rules for verb in rule["verbs"]} == {"get", "list", "watch"}
    assert "secrets" not in {resource for rule in rules for resource in rule["resources"]}
    for binding in of_kind(manifests, "ClusterRoleBinding"):
        (subject,) = binding["subjects"]
        account = one(manifests, "ServiceAccount", subject["name"])
        assert account["metadata"]["namespace"] == subject["namespace"] == "monitoring"
    (config,) = [m for m in of_kind(manifests, "ConfigMap") if "prometheus.yml" in m["data"]]
    scrape = yaml.safe_load(config["data"]["prometheus.yml"])["global"]
    assert (scrape["scrape_interval"], scrape["evaluation_interval"]) == ("15s", "15s")
    assert "__meta_kubernetes_pod_annotation_prometheus_io_port" in config["data"]["prometheus.yml"]
    default_deny = one(manifests, "NetworkPolicy", "default-deny")["spec"]
    assert default_deny == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    for name in ("prometheus", "alertmanager", "kube-state-metrics"):
        policy = one(manifests, "NetworkPolicy", name)["spec"]
        assert policy["egress"] and policy["ingress"], name


def test_layout():
    """The layout is the one asked for; the README's numbers are the real ones."""
    for name in ("base", *OVERLAYS):
        assert (KUSTOMIZE / name / "kustomization.yaml").stat().st_size > 100, name
    text = (KUSTOMIZE / "README.md").read_text(encoding="utf-8")
    for stage, (port, *_) in NUMBERS.items():
        assert f"| `overlays/{stage}` | {stage} | {port} |" in text
    assert "kubectl apply -k infra/kustomize/overlays/" in text and "apply -f" not in text
