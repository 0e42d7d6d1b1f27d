"""The way into a region: by Gateway or Ingress, through a balancer that is closed to strangers and takes no old TLS."""

from __future__ import annotations

import ipaddress
import json

from conftest import INFRA, ROOT
from k8s import CLOUDS, HELM, INGRESSES, SERVICES, STAGES, Manifest, of_kind, one, render, rendered, values_of

EXPOSED = ("fastapi-app", "api-gateway")
GATEWAYS = [f"{release}.{cloud}.prod" for release in EXPOSED for cloud in CLOUDS]
BY_INGRESS = [f"fastapi-app.{way}.prod" for way in INGRESSES]
# Whoever has copied production's data into staging relies on its balancer, too.
BALANCERS = GATEWAYS + BY_INGRESS + [f"fastapi-app.{cloud}.{stage}" for cloud in CLOUDS for stage in STAGES if stage != "prod"]
CLASSES = {"aws": "alb", "gcp": "gke-l7-regional-external-managed", "azure": "approuting-istio"}


def test_gateway_is_the_default_way(counted) -> None:
    """Each cloud has the class that lasts; the route leads from its Gateway to the Service, by host and path"""
    for title in GATEWAYS:
        manifests, cloud = rendered()[title], title.split(".")[1]
        assert not of_kind(manifests, "Ingress"), title
        gateway, route = one(manifests, "Gateway"), one(manifests, "HTTPRoute")["spec"]
        assert gateway["spec"]["gatewayClassName"] == CLASSES[cloud]
        (parent,) = route["parentRefs"]
        meta = gateway["metadata"]
        assert (parent["name"], parent["namespace"]) == (meta["name"], meta["namespace"])
        listeners = gateway["spec"]["listeners"]
        assert {(entry["port"], entry["protocol"]) for entry in listeners} == {(443, "HTTPS")}
        assert [entry["hostname"] for entry in listeners] == route["hostnames"]
        for entry in listeners:
            wanted = {"from": "Selector", "selector": {"matchLabels": {"kubernetes.io/metadata.name": "apps"}}}
            assert entry["allowedRoutes"]["namespaces"] == wanted, "no other namespace may attach a route"
        (rule,) = route["rules"]
        (backend,) = rule["backendRefs"]
        service = one(manifests, "Service", backend["name"])
        assert backend["port"] in [port["port"] for port in service["spec"]["ports"]]
    many = one(rendered()["fastapi-app.gateway"], "HTTPRoute")["spec"]
    assert [match["path"] for match in many["rules"][0]["matches"]] == [
        {"type": "PathPrefix", "value": path} for path in ("/a", "/b")
    ]
    assert many["hostnames"] == ["a.example.com", "b.example.com"]
    counted("gateways", len(GATEWAYS))


def test_an_ingress_does_the_same() -> None:
    """Beside the Gateway: an ALB to node ports on AWS, by host and path; Google's global balancer to the pods"""
    aws, gcp = (rendered()[title] for title in BY_INGRESS)
    for manifests in (aws, gcp):
        assert not of_kind(manifests, "Gateway") and not of_kind(manifests, "HTTPRoute")
    notes = one(aws, "Ingress")["metadata"]["annotations"]
    assert notes["alb.ingress.kubernetes.io/target-type"] == "instance"
    assert json.loads(notes["alb.ingress.kubernetes.io/listen-ports"]) == [{"HTTPS": 443}]
    assert one(aws, "Service")["spec"]["type"] == "NodePort"
    assert one(aws, "Ingress")["spec"]["ingressClassName"] == "alb"
    rule = one(rendered()["fastapi-app.paths"], "Ingress")["spec"]["rules"][0]
    assert (rule["host"], [p["path"] for p in rule["http"]["paths"]]) == ("a.example.com", ["/a", "/b"])
    neg = one(gcp, "Service")["metadata"]["annotations"]["cloud.google.com/neg"]
    assert json.loads(neg) == {"ingress": True}
    assert one(gcp, "Ingress")["metadata"]["annotations"]["kubernetes.io/ingress.class"] == "gce"
    assert one(gcp, "Ingress")["metadata"]["annotations"]["kubernetes.io/ingress.allow-http"] == "false"
    assert "ingressClassName" not in one(gcp, "Ingress")["spec"]


def test_aws_targets_are_instances() -> None:
    """AWS by Gateway: instances as targets, by node ports, asked for /ready"""
    for title in (title for title in GATEWAYS if ".aws." in title):
        manifests = rendered()[title]
        targets = one(manifests, "TargetGroupConfiguration")["spec"]
        service = one(manifests, "Service", targets["targetReference"]["name"])
        assert service["spec"]["type"] == "NodePort"
        assert targets["defaultConfiguration"]["targetType"] == "instance"
        assert targets["defaultConfiguration"]["healthCheckConfig"]["healthCheckPath"] == "/ready"


def test_production_keeps_its_alb(counted) -> None:
    """AWS: in production the ALB refuses to be deleted, before it can be taken away; headers that are none are dropped"""
    number = 0
    for title in (title for title in rendered() if ".aws." in title and "thalweg" not in title):
        for made in of_kind(rendered()[title], "LoadBalancerConfiguration"):
            attributes = {entry["key"]: entry["value"] for entry in made["spec"]["loadBalancerAttributes"]}
            kept = "true" if title.endswith("prod") else "false"
            assert attributes["deletion_protection.enabled"] == kept, title
            assert attributes["routing.http.drop_invalid_header_fields.enabled"] == "true"
            assert made["spec"]["scheme"] == "internet-facing", "edges of other clouds come from outside"
            number += 1
    assert number == 4, "three stages of the application, and the gateway of the services"
    counted("balancers", number)


def allowed(manifests: list[Manifest], cloud: str) -> set[str]:
    """Who the balancer lets in: addresses, or the name of the policy that has them."""
    if of_kind(manifests, "Ingress"):
        if cloud == "gcp":
            notes = one(manifests, "Service")["metadata"]["annotations"]
            named = json.loads(notes["cloud.google.com/backend-config"])["default"]
            return {one(manifests, "BackendConfig", named)["spec"]["securityPolicy"]["name"]}
        notes = one(manifests, "Ingress")["metadata"]["annotations"]
        return set(notes["alb.ingress.kubernetes.io/inbound-cidrs"].split(","))
    gateway = one(manifests, "Gateway")
    if cloud == "aws":
        params = gateway["spec"]["infrastructure"]["parametersRef"]
        return set(one(manifests, params["kind"], params["name"])["spec"]["sourceRanges"])
    if cloud == "azure":
        notes = gateway["spec"]["infrastructure"]["annotations"]
        return set(notes["service.beta.kubernetes.io/azure-allowed-ip-ranges"].split(","))
    policy = one(manifests, "GCPBackendPolicy")["spec"]
    one(manifests, "Service", policy["targetRef"]["name"])
    return {policy["default"]["securityPolicy"]}


def test_strangers_are_refused_at_the_balancer(counted) -> None:
    """Every regional balancer lets in single addresses of edges, or a Cloud Armor policy does; never a network"""
    for title in BALANCERS:
        cloud = title.split(".")[1].split("-")[0]
        peers = allowed(rendered()[title], cloud)
        if cloud == "gcp":
            assert peers == {"edges-only"}, title
            continue
        assert peers, title
        for peer in peers:
            assert ipaddress.ip_network(peer).num_addresses == 1, (title, peer)
    same = {frozenset(allowed(rendered()[f"fastapi-app.{cloud}.prod"], cloud)) for cloud in ("aws", "azure")}
    assert len(same) == 1, "the edges are the same for every cloud"
    counted("balancers", len(BALANCERS))


# Named policies that agree on nothing older than TLS 1.2. On Google Cloud the name is Terraform's.
TLS_POLICIES = {"ELBSecurityPolicy-TLS13-1-2-Res-2021-06", "edges-tls"}


def tls_policy(manifests: list[Manifest], cloud: str) -> str:
    by_ingress = of_kind(manifests, "Ingress")
    if cloud == "aws":
        if by_ingress:
            return by_ingress[0]["metadata"]["annotations"]["alb.ingress.kubernetes.io/ssl-policy"]
        (listener,) = one(manifests, "LoadBalancerConfiguration")["spec"]["listenerConfigurations"]
        assert listener["protocolPort"] == "HTTPS:443"
        return listener["sslPolicy"]
    if by_ingress:
        named = by_ingress[0]["metadata"]["annotations"]["networking.gke.io/v1beta1.FrontendConfig"]
        return one(manifests, "FrontendConfig", named)["spec"]["sslPolicy"]
    policy = one(manifests, "GCPGatewayPolicy")["spec"]
    one(manifests, "Gateway", policy["targetRef"]["name"])
    return policy["default"]["sslPolicy"]


def test_no_balancer_takes_old_tls(counted) -> None:
    """Every regional balancer has a named TLS policy of 1.2 or newer; Azure's by suites that older TLS has not"""
    for title in BALANCERS:
        cloud = title.split(".")[1].split("-")[0]
        if cloud != "azure":
            assert tls_policy(rendered()[title], cloud) in TLS_POLICIES, title
            continue
        for listener in one(rendered()[title], "Gateway")["spec"]["listeners"]:
            suites = listener["tls"]["options"]["gateway.istio.io/tls-cipher-suites"].split(",")
            # Authenticated encryption came with TLS 1.2, an ephemeral key keeps what was recorded secret.
            assert suites and all(s.startswith("ECDHE-") and "-GCM-" in s for s in suites), suites
    counted("balancers", len(BALANCERS))


def test_client_certificates_have_room() -> None:
    """With gateway.clientCa a balancer asks for a certificate of that authority: ALB by trust store, others by ConfigMap"""
    wanted = {"gateway": {"clientCa": "edges"}}
    for cloud in CLOUDS:
        values = values_of("fastapi-app", cloud, "prod")
        manifests = render("fastapi-app", values | {"gateway": values["gateway"] | wanted["gateway"]})
        if cloud == "aws":
            (listener,) = one(manifests, "LoadBalancerConfiguration")["spec"]["listenerConfigurations"]
            assert listener["mutualAuthentication"] == {"mode": "verify", "trustStore": "edges"}
        else:
            frontend = one(manifests, "Gateway")["spec"]["tls"]["frontend"]["default"]
            assert frontend["validation"]["caCertificateRefs"][0]["name"] == "edges"
    values = values_of("fastapi-app", "aws", "prod", "aws-ingress")
    by_ingress = render("fastapi-app", values | {"gateway": values["gateway"] | wanted["gateway"]})
    asked = one(by_ingress, "Ingress")["metadata"]["annotations"]["alb.ingress.kubernetes.io/mutual-authentication"]
    assert json.loads(asked) == [{"port": 443, "mode": "verify", "trustStore": "edges"}]
    for title in GATEWAYS:
        assert "tls" not in one(rendered()[title], "Gateway")["spec"], "only where it is asked for"


def test_an_edge_has_a_certificate_to_show() -> None:
    """The edge's pod has the Secret with its client certificate where one is named, and no place for it elsewhere"""
    pod = one(rendered()["thalweg-edge.client-certificate"], "Deployment")["spec"]["template"]["spec"]
    mounts = {mount["name"]: mount for mount in pod["containers"][0]["volumeMounts"]}
    assert mounts["client"]["mountPath"] == "/etc/thalweg-client" and mounts["client"]["readOnly"] is True
    (secret,) = [volume["secret"] for volume in pod["volumes"] if volume["name"] == "client"]
    assert secret["secretName"] == "edge-client" and secret["defaultMode"] == 0o440
    other = one(rendered()["thalweg-edge.aws.prod"], "Deployment")["spec"]["template"]["spec"]
    assert "client" not in [volume["name"] for volume in other["volumes"]]


def test_no_two_releases_claim_the_same(counted) -> None:
    """Within a cloud no two releases claim the same host, nor the same reserved address"""
    number = 0
    for cloud in CLOUDS:
        claimed: dict[str, str] = {}
        for release in ("fastapi-app", *SERVICES):
            for gateway in of_kind(rendered()[f"{release}.{cloud}.prod"], "Gateway"):
                spec = gateway["spec"]
                claims = [listener["hostname"] for listener in spec["listeners"]]
                claims += [address["value"] for address in spec.get("addresses", [])]
                notes = spec.get("infrastructure", {}).get("annotations", {})
                claims += [v for k, v in notes.items() if k.endswith("azure-pip-name")]
                assert len(claims) == (1 if cloud == "aws" else 2), claims
                for claim in claims:
                    key = f"{cloud}: {claim}"
                    assert claimed.setdefault(key, release) == release, (key, release, claimed)
                    number += 1
    counted("claims", number)


def test_names_are_proven_without_a_way_in() -> None:
    """No policy opens a solver of HTTP-01, which no stranger could reach; the pages say DNS-01"""
    for title, manifests in rendered().items():
        assert not [p for p in of_kind(manifests, "NetworkPolicy") if "acme" in p["metadata"]["name"]], title
    for page in (HELM / "README.md", ROOT / "docs" / "clouds.md"):
        text = page.read_text(encoding="utf-8")
        assert "DNS-01" in text and "8089" not in text, page


def networks(rule: Manifest) -> list[ipaddress.IPv4Network]:
    return [ipaddress.ip_network(p["ipBlock"]["cidr"]) for p in rule["from"] if "ipBlock" in p]


def test_an_application_lets_in_its_balancer_and_no_network_at_large(counted) -> None:
    """Clients are edges, callers and the balancer's own networks: never all of 10/8; no balancer where none leads"""
    number = 0
    for title, manifests in rendered().items():
        if title.split(".")[0] == "thalweg-edge" or not of_kind(manifests, "NetworkPolicy"):
            continue
        name = one(manifests, "Deployment")["metadata"]["name"]
        (rule, _) = one(manifests, "NetworkPolicy", name)["spec"]["ingress"]
        blocks = networks(rule)
        assert all(block.prefixlen >= 16 or block == CGNAT for block in blocks), (title, blocks)
        exposed = of_kind(manifests, "Gateway") + of_kind(manifests, "Ingress")
        assert exposed or not blocks, f"{title} is not exposed and lets a network in"
        number += 1
    callers = one(rendered()["fastapi-app.azure.prod"], "NetworkPolicy", "fastapi-app")["spec"]["ingress"][0]["from"]
    wanted = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}} for name in ("edges", "gateways")]
    assert callers == wanted, "Azure: pods of the edges and of the gateways, and no network"
    counted("value sets", number)


CGNAT = ipaddress.ip_network("100.64.0.0/10")


def test_a_network_of_100_64_is_let_in_where_it_is_named() -> None:
    """Nodes and stores in 100.64.0.0/10: named once, in the way in and in the way out"""
    manifests = rendered()["fastapi-app.shared-address-space"]
    policy = one(manifests, "NetworkPolicy", "fastapi-app")["spec"]
    assert CGNAT in networks(policy["ingress"][0])
    stores = [r for r in policy["egress"] if {p["port"] for p in r["ports"]} == {5432, 6379}]
    assert [to["ipBlock"]["cidr"] for rule in stores for to in rule["to"]] == [str(CGNAT)]


def test_the_plan_of_addresses_is_terraforms() -> None:
    """The networks in the clouds' values are those of infra/terraform/addresses.json, for every stage"""
    plan = INFRA / "terraform" / "addresses.json"
    stages = ("production", "staging", "development")
    if plan.exists():
        planned = json.loads(plan.read_text(encoding="utf-8"))
        homes = {"aws": "aws-us-east-1", "gcp": "gcp-europe-west1", "azure": "azure-southeastasia"}
        wanted = {cloud: [planned[stage][home]["network"] for stage in stages] for cloud, home in homes.items()}
    else:
        second = {"aws": 10, "gcp": 20, "azure": 30}
        wanted = {cloud: [f"10.{n + add}.0.0/16" for add in (0, 100, 200)] for cloud, n in second.items()}
    for cloud in CLOUDS:
        policy = values_of("fastapi-app", cloud)["networkPolicy"]
        assert policy["stores"]["cidrs"] == wanted[cloud]
        own = [ipaddress.ip_network(network) for network in wanted[cloud]]
        inside = [ipaddress.ip_network(p["cidr"]) for p in policy["balancer"] if p.get("cidr", "").startswith("10.")]
        assert all(any(block.subnet_of(network) for network in own) for block in inside), cloud


def test_the_gateways_own_pods_have_their_ways() -> None:
    """Azure: the gateway's pods reach their control plane, the application and DNS, and are reached on 443"""
    manifests = rendered()["fastapi-app.azure.prod"]
    gateway = one(manifests, "Gateway")["metadata"]
    policy = one(manifests, "NetworkPolicy", "fastapi-app-gateway")
    assert policy["metadata"]["namespace"] == gateway["namespace"] == "gateways"
    selector = policy["spec"]["podSelector"]["matchLabels"]
    assert selector == {"gateway.networking.k8s.io/gateway-name": gateway["name"]}
    labels = one(manifests, "Deployment")["spec"]["template"]["metadata"]["labels"]
    ways = {}
    for rule in policy["spec"]["egress"]:
        for port in rule["ports"]:
            ways[port["port"]] = rule["to"]
    assert set(ways) == {53, 15012, 8000}
    assert ways[8000][0]["podSelector"]["matchLabels"].items() <= labels.items()
    # Everybody: requests, and the balancer's question whether it is ready. Metrics are for Prometheus alone.
    prometheus = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]
    came = [(port["port"], rule.get("from")) for rule in policy["spec"]["ingress"] for port in rule["ports"]]
    assert came == [(443, None), (15021, None), (15020, prometheus)], came
    certificate = one(manifests, "Certificate")
    assert certificate["metadata"]["namespace"] == gateway["namespace"]
