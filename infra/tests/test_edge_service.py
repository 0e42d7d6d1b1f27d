"""The edge's public Service: a layer-4 balancer that keeps clients' addresses, on reserved addresses, safe from deletion."""

from __future__ import annotations

import itertools

from conftest import ROOT
from k8s import CLOUDS, STAGES, Manifest, of_kind, one, rendered

PREFIX = "service.beta.kubernetes.io/"


def service(title: str) -> Manifest:
    return one(rendered()[title], "Service", "thalweg-edge")


def notes(title: str) -> dict[str, str]:
    return service(title)["metadata"].get("annotations", {})


def test_balancers_are_asked_for_by_class(counted) -> None:
    """AWS: NLB with pods as targets; GCP: passthrough; Azure: Standard; layer 4, clients' addresses kept, TLS port only"""
    classes = {"aws": "service.k8s.aws/nlb", "gcp": "networking.gke.io/l4-regional-external", "azure": None}
    for cloud, stage in itertools.product(CLOUDS, ("stage", "prod")):
        title = f"thalweg-edge.{cloud}.{stage}"
        spec = service(title)["spec"]
        assert spec["type"] == "LoadBalancer" and spec.get("loadBalancerClass") == classes[cloud]
        assert spec["externalTrafficPolicy"] == "Local", "another policy hides the client's address"
        assert [port["port"] for port in spec["ports"]] == [443]
    aws = notes("thalweg-edge.aws.prod")
    assert aws[f"{PREFIX}aws-load-balancer-scheme"] == "internet-facing"
    assert aws[f"{PREFIX}aws-load-balancer-nlb-target-type"] == "ip"
    assert aws[f"{PREFIX}aws-load-balancer-target-group-attributes"] == "preserve_client_ip.enabled=true"
    assert notes("thalweg-edge.azure.prod")[f"{PREFIX}azure-load-balancer-internal"] == "false"
    for cloud in CLOUDS:
        assert service(f"thalweg-edge.{cloud}.dev")["spec"]["type"] == "ClusterIP"
    counted("services", len(CLOUDS) * len(STAGES))


def test_addresses_are_reserved_ones() -> None:
    """Reserved addresses reach the Service in each cloud's own words; the caller's annotation wins"""
    aws = notes("thalweg-edge.reserved-aws")
    assert aws[f"{PREFIX}aws-load-balancer-eip-allocations"] == "eipalloc-0a,eipalloc-0b,eipalloc-0c"
    assert notes("thalweg-edge.reserved-gcp") == {"networking.gke.io/load-balancer-ip-addresses": "edge-v4,edge-v6"}
    azure = notes("thalweg-edge.reserved-azure")
    assert azure[f"{PREFIX}azure-pip-name-ipv6"] == "edge-v6"
    assert azure[f"{PREFIX}azure-pip-name"] == "mine"


def test_who_may_come_is_the_services_to_say() -> None:
    """sourceRanges and loadBalancerClass are the Service's own fields; without them everybody may come"""
    spec = service("thalweg-edge.closed")["spec"]
    assert spec["loadBalancerSourceRanges"] == ["192.0.2.0/24", "2001:db8::/32"]
    assert spec["loadBalancerClass"] == "example.com/l4"
    assert "loadBalancerSourceRanges" not in service("thalweg-edge.aws.prod")["spec"], "edges are public"


def test_production_keeps_its_balancer(counted) -> None:
    """Production: helm, Flux, Argo CD and the NLB itself refuse to delete the balancer that DNS names"""
    for title in ["thalweg-edge.closed", *(f"thalweg-edge.{cloud}.prod" for cloud in CLOUDS)]:
        kept = notes(title)
        assert kept["helm.sh/resource-policy"] == "keep"
        assert set(kept["argocd.argoproj.io/sync-options"].split(",")) == {"Prune=false", "Delete=false"}
    attributes = notes("thalweg-edge.aws.prod")[f"{PREFIX}aws-load-balancer-attributes"].split(",")
    assert "deletion_protection.enabled=true" in attributes
    staging = notes("thalweg-edge.aws.stage")
    assert "deletion_protection.enabled=false" in staging[f"{PREFIX}aws-load-balancer-attributes"]
    assert "helm.sh/resource-policy" not in staging, "what is not protected can be taken away"
    for other in of_kind(rendered()["thalweg-edge.aws.prod"], "Service"):
        if other["metadata"]["name"] != "thalweg-edge":
            assert "annotations" not in other["metadata"]
    counted("value sets", len(CLOUDS) + 1)


def test_the_page_says_how_addresses_are_reserved() -> None:
    """docs/clouds.md names the values, and what must be lifted before a balancer can go"""
    text = (ROOT / "docs" / "clouds.md").read_text(encoding="utf-8")
    for value in ("service.addresses", "service.loadBalancerClass", "service.sourceRanges", "service.protect"):
        assert f"`{value}`" in text
