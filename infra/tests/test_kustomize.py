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


def container(stage: str) -> Manifest:
    return one(overlay(f"overlays/{stage}"), "Deployment")["spec"]["template"]["spec"]["containers"][0]


@pytest.mark.parametrize("stage", NUMBERS)
def test_node_port_of_a_stage(stage):
    """A stage is reached on its own node port, which leads to port 8000 of its pods"""
    service = one(overlay(f"overlays/{stage}"), "Service")["spec"]
    (port,) = service["ports"]
    assert service["type"] == "NodePort" and (port["nodePort"], port["port"]) == (NUMBERS[stage][0], 80)
    names = {entry["name"]: entry["containerPort"] for entry in container(stage)["ports"]}
    assert names[port["targetPort"]] == 8000


@pytest.mark.parametrize("stage", NUMBERS)
def test_pods_of_a_stage(stage):
    """A stage has as many pods as were asked for, in a namespace of its name"""
    manifests = overlay(f"overlays/{stage}")
    assert replicas(manifests) == NUMBERS[stage][1]
    assert {m["metadata"].get("namespace", stage) for m in manifests} == {stage}


@pytest.mark.parametrize("stage", NUMBERS)
def test_memory_of_a_stage(stage):
    """Memory of a stage's pods: what they need, and what they may have"""
    resources = container(stage)["resources"]
    assert (resources["requests"]["memory"], resources["limits"]["memory"]) == NUMBERS[stage][2:4]


@pytest.mark.parametrize("stage", NUMBERS)
def test_cpu_of_a_stage(stage):
    """CPU of a stage's pods: what they need, and what they may have"""
    resources = container(stage)["resources"]
    assert (resources["requests"]["cpu"], resources["limits"]["cpu"]) == NUMBERS[stage][4:6]


@pytest.mark.parametrize("stage", NUMBERS)
def test_a_stage_is_held_to_restricted(stage):
    """The cluster itself refuses pods of a stage that may become root"""
    labels = one(overlay(f"overlays/{stage}"), "Namespace")["metadata"]["labels"]
    assert labels == {"pod-security.kubernetes.io/enforce": "restricted"}


@pytest.mark.parametrize("stage", NUMBERS)
def test_a_rollout_of_a_stage_loses_nothing(stage):
    """A new pod is ready before an old one goes; an old one serves ten seconds more; one at a time by choice"""
    manifests = overlay(f"overlays/{stage}")
    spec = one(manifests, "Deployment")["spec"]
    assert spec["strategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    assert container(stage)["lifecycle"]["preStop"]["sleep"]["seconds"] >= 10 and spec["minReadySeconds"] >= 5
    # 25 s: UVICORN_TIMEOUT_GRACEFUL_SHUTDOWN of the image.
    assert spec["template"]["spec"]["terminationGracePeriodSeconds"] >= 10 + 25 + 5
    assert one(manifests, "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1


@pytest.mark.parametrize("stage", NUMBERS)
def test_probes_of_a_stage(stage):
    """Ready by its stores, alive by itself, with a minute to start"""
    app = container(stage)
    assert app["readinessProbe"]["httpGet"] == {"path": "/ready", "port": "http"}
    assert app["livenessProbe"]["httpGet"] == app["startupProbe"]["httpGet"] == {"path": "/alive", "port": "http"}
    assert app["startupProbe"]["periodSeconds"] * app["startupProbe"]["failureThreshold"] >= 60


@pytest.mark.parametrize("stage", NUMBERS)
def test_who_may_talk_to_a_stage(stage):
    """In: anybody by the node port, and Prometheus, on 8000; out: names alone"""
    policy = one(overlay(f"overlays/{stage}"), "NetworkPolicy", "fastapi-app")["spec"]
    clients, prometheus = policy["ingress"]
    assert clients["from"] == [{"ipBlock": {"cidr": "0.0.0.0/0"}}]
    (scraper,) = prometheus["from"]
    assert scraper["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "monitoring"}
    assert [p["port"] for rule in policy["ingress"] for p in rule["ports"]] == [8000, 8000]
    assert {p["port"] for rule in policy["egress"] for p in rule["ports"]} == {53}


def test_production_goes_down_slowly():
    """Down only after five quiet minutes and then one pod a minute; up at once, doubling"""
    behavior = one(overlay("overlays/prod"), "HorizontalPodAutoscaler")["spec"]["behavior"]
    assert behavior["scaleDown"] == {
        "stabilizationWindowSeconds": 300,
        "policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}],
    }
    assert behavior["scaleUp"]["stabilizationWindowSeconds"] == 0
    assert "replicas" not in one(overlay("overlays/prod"), "Deployment")["spec"]


def test_prometheus_may_look_and_no_more():
    """Prometheus reads pods, nodes, services, endpoints and the nodes' metrics; no secret, nothing is written"""
    (role,) = [r for r in of_kind(overlay("monitoring"), "ClusterRole") if r["metadata"]["name"] == "prometheus-reader"]
    allowed = {(resource, verb) for rule in role["rules"] for resource in rule["resources"] for verb in rule["verbs"]}
    looked_at = {"pods", "nodes", "services", "endpoints"}
    assert allowed == {(r, v) for r in looked_at for v in ("get", "list", "watch")} | {("nodes/metrics", "get")}


def test_manual_scaling_is_described():
    """The page has the commands to scale by hand, to watch the autoscaler and to join a node, and what becomes of them"""
    text = (KUSTOMIZE / "README.md").read_text(encoding="utf-8")
    for command in (
        "kubectl -n dev scale deployment/fastapi-app --replicas=5",
        "kubectl -n prod get hpa fastapi-app -w",
        "kubeadm token create --print-join-command",
    ):
        assert command in text
    assert "minReplicas" in text and "6443" in text
