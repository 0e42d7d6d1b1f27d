"""What a schema cannot see in charts and overlays: who is let in, what an update may take away, which keys are kept.

Each check is held by a mutant (mutants/*.yaml) that it must catch.
"""

from __future__ import annotations

import ipaddress
import itertools
import json
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
from k8s import CHARTS, CLOUDS, SERVICES, STAGES, Manifest, of_kind, one, overlay, render, rendered, values_of

OVERLAYS = tuple(f"overlays/{stage}" for stage in STAGES)
PUBLIC = ("stage", "prod")
METADATA = ipaddress.ip_address("169.254.169.254")
# More than any network of one's own: a block this wide is the world.
WORLD_BITS = 4


def everything() -> dict[str, list[Manifest]]:
    return rendered() | {name: overlay(name) for name in (*OVERLAYS, "monitoring")}


def is_edge(title: str) -> bool:
    return title.startswith("thalweg-edge.")


def edge_config(title: str) -> dict[str, Any]:
    return tomllib.loads(one(rendered()[title], "ConfigMap")["data"]["thalweg.toml"])


def workloads(manifests: list[Manifest]) -> list[Manifest]:
    return of_kind(manifests, "Deployment") + of_kind(manifests, "DaemonSet")


def edges_in_the_world() -> Iterator[tuple[str, str, Manifest]]:
    """(cloud, title, Service) of every edge that clients reach through a cloud's balancer."""
    for cloud, stage in itertools.product(CLOUDS, PUBLIC):
        title = f"thalweg-edge.{cloud}.{stage}"
        yield cloud, title, one(rendered()[title], "Service", "thalweg-edge")


def notes(manifest: Manifest) -> dict[str, str]:
    return manifest["metadata"].get("annotations") or {}


def pairs(written: str) -> dict[str, str]:
    """`a=b,c=d`, as the AWS controller's attributes are written."""
    return dict(part.split("=", 1) for part in written.split(",") if part)


AWS = "service.beta.kubernetes.io/aws-load-balancer-"
AZURE = "service.beta.kubernetes.io/azure-load-balancer-"


def test_the_edge_sees_its_clients(counted) -> None:
    """The client's address survives the balancer and the node: no second hop, no translation"""
    for cloud, title, service in edges_in_the_world():
        assert service["spec"]["externalTrafficPolicy"] == "Local", title
        if cloud == "aws":
            attributes = pairs(notes(service)[f"{AWS}target-group-attributes"])
            assert attributes.get("preserve_client_ip.enabled") == "true", title
    counted("edges", len(list(edges_in_the_world())))


def test_the_edge_is_public(counted) -> None:
    """Clients reach the edges of stage and prod: a balancer, and none that is internal"""
    for cloud, title, service in edges_in_the_world():
        said = notes(service)
        assert service["spec"]["type"] == "LoadBalancer", title
        assert cloud != "aws" or said[f"{AWS}scheme"] == "internet-facing", title
        assert said.get(f"{AZURE}internal", "false") == "false", title
        assert said.get("networking.gke.io/load-balancer-type", "External") == "External", title
    counted("edges", len(list(edges_in_the_world())))


def test_regional_balancers_answer_by_tls_only(counted) -> None:
    """No regional balancer answers a request in clear: every listener, by Gateway or by Ingress, is HTTPS"""
    number = 0
    for title, manifests in rendered().items():
        for gateway in of_kind(manifests, "Gateway"):
            listens = {(each["protocol"], each["port"]) for each in gateway["spec"]["listeners"]}
            assert listens == {("HTTPS", 443)}, (title, listens)
            number += 1
        for config in of_kind(manifests, "LoadBalancerConfiguration"):
            ports = [each["protocolPort"] for each in config["spec"]["listenerConfigurations"]]
            assert ports == ["HTTPS:443"], (title, ports)
        if title.split(".")[1] not in CLOUDS:
            continue
        for ingress in of_kind(manifests, "Ingress"):
            said = notes(ingress)
            listens = json.loads(said.get("alb.ingress.kubernetes.io/listen-ports", "[]"))
            assert all(set(each) == {"HTTPS"} for each in listens), (title, listens)
            assert listens or said["kubernetes.io/ingress.allow-http"] == "false", title
            number += 1
    assert number
    counted("balancers", number)


# Gateways' own pods, made by a cloud's add-on, are for everybody; the list of who may come is in front of them.
GATEWAY_POD = "gateway.networking.k8s.io/gateway-name"


def blocks(policy: Manifest, side: str) -> Iterator[tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, dict, list[int]]]:
    """(network, peer, ports) of every block of addresses in a policy's rules."""
    way = {"from": "ingress", "to": "egress"}[side]
    for rule in policy["spec"].get(way) or []:
        ports = [port["port"] for port in rule.get("ports", [])]
        for peer in rule.get(side, []):
            if "ipBlock" in peer:
                yield ipaddress.ip_network(peer["ipBlock"]["cidr"]), peer["ipBlock"], ports


def test_no_policy_of_the_application_is_open_to_the_world(counted) -> None:
    """Nobody in the world calls a pod of the charts' application, and it calls the world by HTTPS alone"""
    number = 0
    for title, manifests in rendered().items():
        for policy in of_kind(manifests, "NetworkPolicy") if not is_edge(title) else []:
            if GATEWAY_POD in policy["spec"]["podSelector"].get("matchLabels", {}):
                continue
            for network, _, _ in blocks(policy, "from"):
                assert network.prefixlen > WORLD_BITS, (title, policy["metadata"]["name"], str(network))
            for network, _, ports in blocks(policy, "to"):
                assert network.prefixlen > WORLD_BITS or ports == [443], (title, str(network), ports)
            # A rule without a peer names everyone.
            for way, side in (("ingress", "from"), ("egress", "to")):
                assert all(rule.get(side) for rule in policy["spec"].get(way) or []), (title, way)
            number += 1
    counted("policies", number)


def test_no_pod_reaches_the_metadata_service(counted) -> None:
    """A way out that covers the cloud's metadata service leaves it out, but for names by port 53"""
    number = 0
    for title, manifests in everything().items():
        for policy in of_kind(manifests, "NetworkPolicy"):
            for network, block, ports in blocks(policy, "to"):
                if METADATA not in network or ports == [53, 53]:
                    continue
                left_out = [ipaddress.ip_network(each) for each in block.get("except", [])]
                assert any(METADATA in each for each in left_out), (title, policy["metadata"]["name"], str(network))
                number += 1
    assert number
    counted("ways out", number)


ADMIN = 9900


def test_only_prometheus_and_the_check_reach_the_admin_port(counted) -> None:
    """The admin port of an edge admits Prometheus' namespace and the check after a release, each by name"""
    number = 0
    for title, manifests in rendered().items():
        for policy in of_kind(manifests, "NetworkPolicy") if is_edge(title) else []:
            for rule in policy["spec"].get("ingress") or []:
                if ADMIN not in [port["port"] for port in rule.get("ports", [])]:
                    continue
                for peer in rule["from"]:
                    (selector,) = peer.values()
                    assert selector.get("matchLabels") or selector.get("matchExpressions"), (title, peer)
                number += 1
    assert number
    counted("rules", number)


def test_no_service_admits_its_whole_namespace(counted) -> None:
    """The five services admit named releases; a namespace is admitted to the gateway alone, for the edges"""
    for service, cloud in itertools.product(SERVICES, CLOUDS):
        policy = one(rendered()[f"{service}.{cloud}.prod"], "NetworkPolicy", service)
        clients = policy["spec"]["ingress"][0]["from"]
        spaces = {
            space
            for peer in clients
            for space in peer.get("namespaceSelector", {}).get("matchLabels", {}).values()
        }
        assert "apps" not in spaces and {} not in clients, (service, cloud)
        assert service == "api-gateway" or all(set(peer) == {"podSelector"} for peer in clients), (service, cloud)
    counted("services", len(SERVICES) * len(CLOUDS))


def nothing(amount: object) -> bool:
    return str(amount) in ("0", "0%")


def test_no_rollout_takes_capacity_away(counted) -> None:
    """An update starts the new pod first; on the host's network, where two cannot share a node, one goes at a time"""
    number = 0
    for title, manifests in everything().items():
        for workload in workloads(manifests):
            spec = workload["spec"]
            strategy = spec.get("strategy") or spec.get("updateStrategy") or {}
            if "rollingUpdate" not in strategy:
                continue
            away = strategy["rollingUpdate"]["maxUnavailable"]
            alone = workload["kind"] == "DaemonSet" or spec["template"]["spec"].get("hostNetwork")
            assert nothing(away) or (alone and away == 1), (title, workload["metadata"]["name"], away)
            number += 1
    assert number > 50
    counted("workloads", number)


def test_a_drained_node_takes_one_pod_at_a_time(counted) -> None:
    """A disruption budget lets exactly one pod go, and a pod that never became ready blocks no drain"""
    number = 0
    for title, manifests in everything().items():
        for budget in of_kind(manifests, "PodDisruptionBudget"):
            assert budget["spec"].get("maxUnavailable") == 1, (title, budget["spec"])
            if title in rendered():
                assert budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow", title
            number += 1
    counted("budgets", number)


# Seconds until a balancer that asks every five has seen two refusals; the edge's own is asked every two.
NOTICED_S = 5


def test_a_pod_serves_until_its_balancer_has_noticed(counted) -> None:
    """Between "terminating" and the end of serving lies the time that a balancer needs to notice"""
    number = 0
    for title, manifests in everything().items():
        if is_edge(title):
            delay = edge_config(title)["edge"]["drain_delay"]
            assert int(delay.removesuffix("s")) >= NOTICED_S, (title, delay)
            number += 1
            continue
        for workload in workloads(manifests) if title != "monitoring" else []:
            pod = workload["spec"]["template"]["spec"]
            hook = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
            assert NOTICED_S <= hook < pod["terminationGracePeriodSeconds"] - 20, (title, hook)
            number += 1
    counted("workloads", number)


KEYS = {("ECDSA", 256), ("ECDSA", 384), ("RSA", 2048), ("RSA", 3072), ("RSA", 4096)}


def hours(written: str) -> int:
    return int(written.removesuffix("h"))


def test_certificates_get_a_new_key_in_time(counted) -> None:
    """A renewal brings a new key of a kind that clients take, with a fifth of the certificate's life left"""
    number = 0
    for title, manifests in rendered().items():
        for certificate in of_kind(manifests, "Certificate"):
            spec = certificate["spec"]
            key = spec["privateKey"]
            assert key["rotationPolicy"] == "Always", title
            assert (key["algorithm"], key["size"]) in KEYS, (title, key)
            left = spec.get("renewBeforePercentage") or 100 * hours(spec["renewBefore"]) / hours(spec["duration"])
            assert 20 <= left <= 50, (title, left)
            assert "server auth" in spec["usages"] and "any" not in spec["usages"], title
            number += 1
    assert number
    counted("certificates", number)


def test_secrets_follow_their_store(counted) -> None:
    """A secret is read again within the hour, and goes with its release"""
    number = 0
    for title, manifests in rendered().items():
        for external in of_kind(manifests, "ExternalSecret"):
            spec = external["spec"]
            assert spec["refreshInterval"] in ("1h", "30m", "15m", "5m", "1m"), (title, spec["refreshInterval"])
            assert spec["target"]["creationPolicy"] == "Owner", title
            number += 1
    assert number
    counted("secrets", number)


def test_production_is_strict(counted) -> None:
    """Production: TLS 1.3 at the edges, one pod per zone as far as zones go"""
    for cloud, chart in itertools.product(CLOUDS, CHARTS):
        title = f"{chart}.{cloud}.prod"
        (workload,) = workloads(rendered()[title])
        rules = workload["spec"]["template"]["spec"]["topologySpreadConstraints"]
        when = {rule["topologyKey"]: rule["whenUnsatisfiable"] for rule in rules}
        assert when["topology.kubernetes.io/zone"] == "DoNotSchedule", title
        if is_edge(title):
            assert when["kubernetes.io/hostname"] == "DoNotSchedule", title
            listeners = edge_config(title)["listener"]
            assert [each["tls"]["min_version"] for each in listeners] == ["1.3"] * len(listeners), title
    counted("value sets", len(CLOUDS) * len(CHARTS))


def test_the_edge_outranks_the_application(counted) -> None:
    """When a node is full the application goes before the edge, which every region needs"""
    for cloud in CLOUDS:
        ranks = {chart: one(rendered()[f"{chart}.{cloud}.prod"], "PriorityClass")["value"] for chart in CHARTS}
        assert 0 < ranks["fastapi-app"] < ranks["thalweg-edge"] < 1_000_000_000, (cloud, ranks)
    counted("clouds", len(CLOUDS))


def test_the_way_to_a_region_is_verified(counted) -> None:
    """Between clouds an edge speaks TLS and verifies who answers; in clear only inside a cluster"""
    number = 0
    for title in filter(is_edge, rendered()):
        if title.split(".")[1] not in CLOUDS:
            continue
        for name, pool in edge_config(title)["pool"].items():
            for endpoint in pool["endpoints"]:
                inside = endpoint["address"].split(":")[0].endswith(".svc.cluster.local")
                verified = endpoint.get("tls", {"verify": False}).get("verify", True)
                assert inside or verified, (title, name, endpoint)
                number += 1
    assert number
    counted("endpoints", number)


def test_the_probe_believes_health_only(counted) -> None:
    """Every shipped edge takes a 200 whose JSON says ok or degraded for healthy, and nothing else"""
    number = 0
    for title in filter(is_edge, rendered()):
        if title.split(".")[1] not in CLOUDS:
            continue
        for probe in edge_config(title)["probe"].values():
            assert probe["path"] == "/health", title
            assert set(probe.get("expect_status", ["200"])) <= {"200", "2xx"}, title
            said = probe["expect_json"]["status"]
            # The application's own words: a degraded region that counts as down takes its traffic to the others at once.
            assert set(said) == {"ok", "degraded"}, (title, said)
            number += 1
    counted("probes", number)


def test_keys_are_read_by_their_owner_only(counted) -> None:
    """Mounted secrets are readable by the process and its group, never by every user"""
    number = 0
    for title, manifests in everything().items():
        for workload in workloads(manifests):
            for volume in workload["spec"]["template"]["spec"].get("volumes", []):
                if "secret" in volume:
                    assert volume["secret"]["defaultMode"] & 0o007 == 0, (title, volume["name"])
                    number += 1
    assert number
    counted("secrets", number)


# What an operator may do to things that are not named: pods are made and named anew all the time.
UNNAMED = {("pods/exec", "create"), ("pods/portforward", "create"), ("certificaterequests", "delete")}


@pytest.mark.parametrize("chart", CHARTS)
def test_operators_are_held_to_their_release(chart: str, counted) -> None:
    """Who is on call changes objects of this release by name, and has nothing made that lasts"""
    values = values_of(chart, "gcp", "prod")
    role = one(render(chart, values), "Role", f"{chart}-operator")
    changes = 0
    for rule in role["rules"]:
        for resource, verb in itertools.product(rule["resources"], rule["verbs"]):
            if verb in ("get", "list", "watch"):
                continue
            changes += 1
            named = rule.get("resourceNames") == [chart]
            assert named or (resource, verb) in UNNAMED, (resource, verb, rule.get("resourceNames"))
    assert changes >= 4
    counted("rights to change", changes)
