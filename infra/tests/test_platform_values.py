"""What a platform sets on every chart arrives where it belongs, and never in place of what the chart needs."""

from __future__ import annotations

import re
import tomllib

from conftest import ROOT
from k8s import CHARTS, CLOUDS, HELM, PLATFORM, STAGES, of_kind, one, rendered

BOTH = [f"{chart}.platform" for chart in CHARTS]


def template(title: str):
    return one(rendered()[title], "Deployment")["spec"]["template"]


def test_images_come_from_the_platforms_registry(counted) -> None:
    """Pull secrets are named in every pod, the check after a release included; a digest wins over a tag"""
    number = 0
    for title in BOTH:
        pods = [template(title)["spec"], *(pod["spec"] for pod in of_kind(rendered()[title], "Pod"))]
        assert len(pods) >= 2
        for pod in pods:
            assert pod["imagePullSecrets"] == [{"name": "registry"}]
            number += 1
        image = template(title)["spec"]["containers"][0]["image"]
        assert image.endswith(PLATFORM["image"]["digest"]) and image.count(":") == 1
        assert "imagePullSecrets" not in template(title.replace("platform", "defaults"))["spec"]
    counted("pods", number)


def test_labels_and_annotations_are_added_and_never_replace() -> None:
    """The platform's labels and annotations are on the pods; the chart's own, which selectors and Prometheus read, win"""
    for title in BOTH:
        meta = template(title)["metadata"]
        assert meta["labels"]["team"] == "traffic" and meta["annotations"]["example.com/owner"] == "traffic"
        assert meta["labels"]["app.kubernetes.io/instance"] == title.split(".")[0]
        assert meta["annotations"]["prometheus.io/scrape"] == "true"
        selector = one(rendered()[title], "Deployment")["spec"]["selector"]["matchLabels"]
        assert selector.items() <= meta["labels"].items() and "team" not in selector


def test_pods_go_to_the_platforms_nodes(counted) -> None:
    """Affinity is taken as it stands; zones that must be there, taints and revisions count as asked"""
    for title in BOTH:
        spec = template(title)["spec"]
        assert spec["affinity"] == PLATFORM["affinity"]
        rules = {rule["topologyKey"]: rule for rule in spec["topologySpreadConstraints"]}
        zone, host = rules["topology.kubernetes.io/zone"], rules["kubernetes.io/hostname"]
        assert zone["minDomains"] == 2 and "minDomains" not in host
        for rule in (zone, host):
            assert rule["nodeTaintsPolicy"] == "Ignore" and "matchLabelKeys" not in rule
    for chart in CHARTS:
        for cloud in CLOUDS:
            rules = template(f"{chart}.{cloud}.prod")["spec"]["topologySpreadConstraints"]
            (zone,) = [rule for rule in rules if rule["topologyKey"].endswith("zone")]
            assert zone["minDomains"] == 3, "production: one zone that is down is not two zones that are enough"
            for rule in rules:
                assert rule["nodeTaintsPolicy"] == "Honor"
                assert rule["matchLabelKeys"] == ["pod-template-hash"], "pods of the old revision go away"
    counted("workloads", len(BOTH) + len(CHARTS) * len(CLOUDS))


def test_prometheus_is_selected_by_label() -> None:
    """ServiceMonitors carry the label that the platform's Prometheus selects by"""
    for title in BOTH:
        labels = one(rendered()[title], "ServiceMonitor")["metadata"]["labels"]
        assert labels["release"] == "kube-prometheus-stack"
        assert labels["app.kubernetes.io/name"] == title.split(".")[0]


def metrics(title: str) -> dict[str, dict]:
    found = {}
    for metric in one(rendered()[title], "HorizontalPodAutoscaler")["spec"]["metrics"]:
        body = metric.get("resource") or metric["pods"]
        found[body.get("name") or body["metric"]["name"]] = body["target"]
    return found


def test_edges_scale_by_connections(counted) -> None:
    """Edges scale on CPU, in production on connections too, never on memory; an own metric replaces both"""
    declared = "".join(path.read_text() for path in (ROOT / "crates" / "edge" / "src").rglob("telemetry.rs"))
    number = 0
    for cloud in CLOUDS:
        for stage in STAGES:
            found = metrics(f"thalweg-edge.{cloud}.{stage}")
            assert "memory" not in found and "cpu" in found
            for name in set(found) - {"cpu"}:
                assert f'"{name}"' in declared, f"no edge has {name}"
                assert found[name]["type"] == "AverageValue"
                number += 1
        assert set(metrics(f"thalweg-edge.{cloud}.prod")) == {"cpu", "thalweg_connections"}
    for title in BOTH:
        assert metrics(title) == {"http_requests_per_second": {"type": "AverageValue", "averageValue": "200"}}
    rule = (HELM / "README.md").read_text(encoding="utf-8").split("prometheus-adapter")[1]
    assert "sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)" in rule
    assert "thalweg_connections" in rule
    counted("metrics", number)


def test_certificates_are_renewed_by_their_own_length(counted) -> None:
    """Certificates are renewed at a part of their life, whatever the authority's length is"""
    number = 0
    for title, manifests in rendered().items():
        for certificate in of_kind(manifests, "Certificate"):
            spec = certificate["spec"]
            assert spec["renewBeforePercentage"] == 33 and "renewBefore" not in spec, title
            assert spec["privateKey"]["rotationPolicy"] == "Always", title
            number += 1
    counted("certificates", number)


def milliseconds(written: str) -> int:
    number, unit = re.fullmatch(r"(\d+)(ms|s|m)", written).groups()
    return int(number) * {"ms": 1, "s": 1000, "m": 60_000}[unit]


# The shortest time for which a balancer in front of a region keeps an idle connection: ALB's and the application's in front of it.
BALANCER_KEEPS_MS = 60_000


def test_the_edge_lets_go_of_a_connection_before_its_balancer(counted) -> None:
    """Pools behind balancers keep idle connections for almost, but not quite, as long as the balancer does"""
    number = 0
    for title, manifests in rendered().items():
        if not re.fullmatch(r"thalweg-edge\.(aws|gcp|azure)\.(stage|prod)", title):
            continue
        config = tomllib.loads(one(manifests, "ConfigMap")["data"]["thalweg.toml"])
        for name, pool in config["pool"].items():
            idle = milliseconds(pool["keepalive"]["idle"])
            assert BALANCER_KEEPS_MS - 10_000 <= idle < BALANCER_KEEPS_MS, (title, name)
            number += 1
    assert number == len(CLOUDS) * 2 * 3
    counted("pools", number)


def test_traffic_of_the_own_cluster_stays_in_it(counted) -> None:
    """An edge reaches its own region by the Service beside it, other regions by name and TLS; policies agree"""
    for cloud in CLOUDS:
        for stage in ("stage", "prod"):
            manifests = rendered()[f"thalweg-edge.{cloud}.{stage}"]
            config = tomllib.loads(one(manifests, "ConfigMap")["data"]["thalweg.toml"])
            for pool in config["pool"].values():
                (endpoint,) = pool["endpoints"]
                own = (pool["cloud"], pool["region"]) == (config["edge"]["cloud"], config["edge"]["region"])
                host, port = endpoint["address"].rsplit(":", 1)
                assert own == (host == "fastapi-app.apps.svc.cluster.local"), endpoint
                assert own or (port == "443" and "tls" in endpoint), endpoint
            policy = one(manifests, "NetworkPolicy", "thalweg-edge")["spec"]
            ways = {}
            for rule in policy["egress"][1:]:
                (peer,) = rule["to"]
                ways["outside" if "ipBlock" in peer else "apps"] = {port["port"] for port in rule["ports"]}
            assert ways == {"outside": {443}, "apps": {80, 8000}}, (cloud, stage)
            app = rendered()[f"fastapi-app.{cloud}.{stage}"]
            service = one(app, "Service", "fastapi-app")["spec"]
            assert 80 in [port["port"] for port in service["ports"]]
            admitted = one(app, "NetworkPolicy", "fastapi-app")["spec"]["ingress"][0]["from"]
            edges = {"matchLabels": {"kubernetes.io/metadata.name": "edges"}}
            assert {"namespaceSelector": edges} in admitted
    counted("value sets", 2 * len(CLOUDS))
