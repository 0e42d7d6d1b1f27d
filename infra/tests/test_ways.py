"""Traffic on its way: balancer to edge, edge to region; in time, and by leave of both sides' policies."""

from __future__ import annotations

import itertools
import re
import tomllib

from conftest import INFRA, ROOT, find_tool, run
from k8s import CHARTS, CLOUDS, of_kind, one, overlay, parsed, rendered
from test_gitops import cloud_releases, generated, read
from test_runbook import homes

# The longest way between two clouds' regions, and what the application may take for its answer.
ROUND_TRIP_MS, ANSWER_MS = 220, 240


def milliseconds(written: str) -> int:
    number, unit = re.fullmatch(r"(\d+)(ms|s|m|h)", written).groups()
    return int(number) * {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}[unit]


def test_a_cold_probe_reaches_the_farthest_region(counted) -> None:
    """Every shipped config with several regions gives a probe 3 round trips between them, and the answer"""
    texts = {
        title: one(manifests, "ConfigMap")["data"]["thalweg.toml"]
        for title, manifests in rendered().items()
        if title.startswith("thalweg-edge.")
    }
    # full.toml writes every key's default.
    examples = [path for path in (ROOT / "config").glob("*.toml") if path.name != "full.toml"]
    shipped = [INFRA / "packaging" / "thalweg.toml", *examples]
    texts |= {path.name: path.read_text(encoding="utf-8") for path in shipped}
    number = 0
    for title, text in texts.items():
        config = tomllib.loads(text)
        far = [pool for pool in config["pool"].values() if pool.get("region")]
        if len({pool["region"] for pool in far}) < 2:
            continue
        for name in {pool["probe"] for pool in far if "probe" in pool}:
            given = milliseconds(config["probe"][name].get("timeout", "300ms"))
            assert given >= 3 * ROUND_TRIP_MS + ANSWER_MS, (title, name, given)
            number += 1
    assert {"thalweg.toml", "latency.toml", "failover.toml", "weighted.toml"} <= set(texts)
    counted("probes", number)


# Until a balancer with pods as targets no longer sends new connections to one that is deregistered.
DEREGISTERED_S = 120
GATE = {"elbv2.k8s.aws/pod-readiness-gate-inject": "enabled"}


def test_no_update_outruns_a_balancer_of_pods(counted) -> None:
    """AWS: an old edge serves until it is deregistered, a new one is ready once it is registered"""
    kind = "service.beta.kubernetes.io/aws-load-balancer-nlb-target-type"
    number = 0
    for title, manifests in rendered().items():
        for service in of_kind(manifests, "Service"):
            balanced = service["spec"].get("type") == "LoadBalancer"
            if not balanced or service["metadata"].get("annotations", {}).get(kind) != "ip":
                continue
            config = tomllib.loads(one(manifests, "ConfigMap")["data"]["thalweg.toml"])
            assert milliseconds(config["edge"]["drain_delay"]) >= DEREGISTERED_S * 1000, title
            number += 1
    assert number == 2, "stage and prod"
    for edge in generated(one(read("argocd/edges.yaml"), "ApplicationSet")):
        labels = edge["spec"]["syncPolicy"].get("managedNamespaceMetadata", {}).get("labels", {})
        assert GATE.items() <= labels.items(), edge["metadata"]["name"]
    release = one(cloud_releases("aws"), "HelmRelease", "thalweg-edge-aws")["spec"]
    by_flux = one(read("flux/waves.yaml"), "Kustomization", "namespaces-aws")["spec"]
    assert by_flux["kubeConfig"] == release["kubeConfig"] and by_flux["prune"] is False
    built = run(find_tool("kubectl"), "kustomize", ROOT / by_flux["path"])
    namespace = one(parsed(built.stdout), "Namespace", release["targetNamespace"])
    assert GATE.items() <= namespace["metadata"]["labels"].items()
    counted("value sets", number)


# Who resolves names without being a pod of kube-system: Google's Cloud DNS, NodeLocal DNSCache.
RESOLVERS = {"169.254.169.254/32", "169.254.20.10/32"}


def test_names_are_resolved_wherever_the_resolver_is(counted) -> None:
    """Every way out for names leads to pods, to Cloud DNS and to NodeLocal DNSCache; no other port goes with it"""
    sets = rendered() | {name: overlay(name) for name in ("overlays/prod", "monitoring", "observability", "logs")}
    number = 0
    for title, manifests in sets.items():
        for policy in of_kind(manifests, "NetworkPolicy"):
            for rule in policy["spec"].get("egress", []):
                ports = {(port["port"], port["protocol"]) for port in rule.get("ports", [])}
                blocks = {to["ipBlock"]["cidr"] for to in rule.get("to", []) if "ipBlock" in to}
                if 53 in {port for port, _ in ports}:
                    assert blocks == RESOLVERS and ports == {(53, "UDP"), (53, "TCP")}, title
                    assert [to for to in rule["to"] if "namespaceSelector" in to], title
                    number += 1
    counted("rules", number)


def test_the_development_edge_reaches_the_application_beside_it(counted) -> None:
    """Per cloud: the edge's policy lets it out to the pool that it has, the application's lets it in"""
    namespaces = homes()

    def admits(peers: list, namespace: str) -> bool:
        labels = {"kubernetes.io/metadata.name": namespace}
        return any(peer.get("namespaceSelector", {}).get("matchLabels") == labels for peer in peers)

    for cloud in CLOUDS:
        edge, app = (rendered()[f"{chart}.{cloud}.dev"] for chart in CHARTS[::-1])
        config = tomllib.loads(one(edge, "ConfigMap")["data"]["thalweg.toml"])
        (endpoint,) = [end["address"] for pool in config["pool"].values() for end in pool["endpoints"]]
        host, port = endpoint.split(":")
        service = one(app, "Service", host.split(".")[0])
        assert host == f"fastapi-app.{namespaces['fastapi-app']}.svc.cluster.local"
        assert int(port) in [entry["port"] for entry in service["spec"]["ports"]]
        # A policy sees the pod's port, behind the Service's.
        listens = one(app, "Deployment")["spec"]["template"]["spec"]["containers"][0]["ports"][0]["containerPort"]
        ways = [
            *[("to", rule) for rule in one(edge, "NetworkPolicy", "thalweg-edge")["spec"]["egress"]],
            *[("from", rule) for rule in one(app, "NetworkPolicy", "fastapi-app")["spec"]["ingress"]],
        ]
        let = {
            side
            for side, rule in ways
            if admits(rule[side], namespaces["fastapi-app" if side == "to" else "thalweg-edge"])
            and listens in [entry["port"] for entry in rule["ports"]]
        }
        assert let == {"to", "from"}, (cloud, let)
    counted("clouds", len(CLOUDS))


def test_nothing_is_served_in_clear(counted) -> None:
    """Stage and prod: TLS listeners only, and no other port in the Service or let in by the policy"""
    for cloud, stage in itertools.product(CLOUDS, ("stage", "prod")):
        manifests = rendered()[f"thalweg-edge.{cloud}.{stage}"]
        listeners = tomllib.loads(one(manifests, "ConfigMap")["data"]["thalweg.toml"])["listener"]
        assert listeners and all("tls" in listener for listener in listeners), (cloud, stage)
        bound = {int(listener["bind"].rsplit(":", 1)[1]) for listener in listeners}
        service = one(manifests, "Service", "thalweg-edge")["spec"]
        pod = one(manifests, "Deployment")["spec"]["template"]["spec"]["containers"][0]["ports"]
        named = {port["name"]: port["containerPort"] for port in pod}
        assert {named.get(port["targetPort"], port["targetPort"]) for port in service["ports"]} == bound
        clients, _ = one(manifests, "NetworkPolicy", "thalweg-edge")["spec"]["ingress"]
        assert {port["port"] for port in clients["ports"]} == bound
    counted("value sets", 2 * len(CLOUDS))
