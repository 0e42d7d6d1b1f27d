"""What the charts mean: probes, drain, scaling, spreading, balancers, secrets, callers."""

from __future__ import annotations

import json
import re
import subprocess
import sys

from conftest import INFRA, run
from k8s import CHARTS, CLOUDS, HELM, SERVICES, of_kind, one, render, rendered, values_of


def deployment(title: str):
    return one(rendered()[title], "Deployment")


def container(title: str):
    return deployment(title)["spec"]["template"]["spec"]["containers"][0]


def test_config_change_restarts_nothing():
    """A changed edge config changes the ConfigMap alone: no checksum, no subPath."""
    other = values_of("thalweg-edge", "aws", "prod")
    other["config"]["route"]["all"]["policy"] = "weighted"
    before, after = rendered()["thalweg-edge.aws.prod"], render("thalweg-edge", other)
    assert [m["kind"] for m, n in zip(before, after, strict=True) if m != n] == ["ConfigMap"]
    mounts = container("thalweg-edge.aws.prod")["volumeMounts"]
    assert {"/etc/thalweg", "/etc/thalweg-tls", "/etc/thalweg-admin"} == {
        m["mountPath"] for m in mounts
    }
    assert not [mount for mount in mounts if "subPath" in mount]
    assert container("thalweg-edge.aws.prod")["args"][-1] == "/etc/thalweg/thalweg.toml"


def test_drain_fits_the_grace_period(counted):
    """Every pod has more time to end than its drain takes."""
    for title, manifests in rendered().items():
        for workload in of_kind(manifests, "Deployment") + of_kind(manifests, "DaemonSet"):
            pod = workload["spec"]["template"]["spec"]
            if title.startswith("thalweg-edge."):
                text = one(manifests, "ConfigMap")["data"]["thalweg.toml"]
                needed = sum(
                    int(s) for s in re.findall(r'^drain_\w+ = "(\d+)s"$', text, flags=re.MULTILINE)
                )
                assert needed >= 10
            else:
                app = pod["containers"][0]
                env = {item["name"]: item.get("value") for item in app["env"]}
                needed = app["lifecycle"]["preStop"]["sleep"]["seconds"]
                needed += int(env["UVICORN_TIMEOUT_GRACEFUL_SHUTDOWN"])
            assert needed < pod["terminationGracePeriodSeconds"], title
    counted("value sets", len(rendered()))


# Seconds after which the balancer in front stops reusing a connection: ALB, Google's front ends, nginx.
BALANCER_IDLE = {"aws": 60, "gcp": 600, "azure": 60}


def test_connections_outlive_the_balancers_reuse(counted):
    """The application closes an idle connection only after its balancer has stopped using it."""
    titles = [t for t in rendered() if t.split(".")[0] != "thalweg-edge"]
    for title in titles:
        env = {item["name"]: item.get("value") for item in container(title)["env"]}
        kept = int(env["UVICORN_TIMEOUT_KEEP_ALIVE"])
        assert kept > BALANCER_IDLE.get(title.split(".")[1].split("-")[0], 4), (title, kept)
    counted("value sets", len(titles))


def test_probes_ask_the_right_question():
    """App: /ready, /alive. Edge: /readyz, /livez on the admin port, by loopback on a host."""
    for title, ready, alive in (
        ("fastapi-app.aws.prod", "/ready", "/alive"),
        ("thalweg-edge.aws.prod", "/readyz", "/livez"),
    ):
        probes = {
            kind: container(title)[f"{kind}Probe"]["httpGet"]
            for kind in ("startup", "readiness", "liveness")
        }
        assert probes["readiness"]["path"] == ready
        assert probes["liveness"]["path"] == probes["startup"]["path"] == alive
        assert {"fastapi-app": "http", "thalweg-edge": "admin"}[title.split(".")[0]] == probes[
            "startup"
        ]["port"]
    host = container("thalweg-edge.host-network-deployment")
    assert host["readinessProbe"]["httpGet"]["host"] == "127.0.0.1"
    text = one(rendered()["thalweg-edge.host-network"], "ConfigMap")["data"]["thalweg.toml"]
    assert 'bind = "127.0.0.1:9900"' in text


def test_production_has_three_and_scales_on_two():
    """Production: HPA v2 with min 3, on CPU and memory, edges on CPU and connections, down slowly; 50 % of 3–10 too."""
    for chart in CHARTS:
        for cloud in CLOUDS:
            spec = one(rendered()[f"{chart}.{cloud}.prod"], "HorizontalPodAutoscaler")["spec"]
            assert spec["minReplicas"] == 3
            names = {m.get("resource", m.get("pods", {}).get("metric"))["name"] for m in spec["metrics"]}
            assert names == {"cpu", "memory" if chart == "fastapi-app" else "thalweg_connections"}
            assert spec["behavior"]["scaleDown"]["stabilizationWindowSeconds"] >= 300
            assert "replicas" not in deployment(f"{chart}.{cloud}.prod")["spec"]
            assert one(rendered()[f"{chart}.{cloud}.prod"], "PriorityClass")["value"] > 0
            assert one(rendered()[f"{chart}.{cloud}.prod"], "VerticalPodAutoscaler")["spec"][
                "updatePolicy"
            ] == {"updateMode": "Off"}
    spec = one(rendered()["fastapi-app.autoscale-50"], "HorizontalPodAutoscaler")["spec"]
    cpu = next(m["resource"]["target"] for m in spec["metrics"] if m["resource"]["name"] == "cpu")
    assert (spec["minReplicas"], spec["maxReplicas"], cpu["averageUtilization"]) == (3, 10, 50)
    assert deployment("fastapi-app.fixed-replicas")["spec"]["replicas"] == 5


# What the application holds in memory when nobody asks it for anything.
IDLE_BYTES = 78_000_000


def test_an_idle_application_is_not_scaled_up(counted):
    """No autoscaler's memory target is below what an idle application needs."""
    number = 0
    for title, manifests in rendered().items():
        if title.startswith("thalweg-edge."):
            continue
        for scaler in of_kind(manifests, "HorizontalPodAutoscaler"):
            (percent,) = [
                metric["resource"]["target"]["averageUtilization"]
                for metric in scaler["spec"]["metrics"]
                if metric.get("resource", {}).get("name") == "memory"
            ] or [None]
            if percent is None:
                continue
            request = container(title)["resources"]["requests"]["memory"]
            target = int(request.removesuffix("Mi")) * 1024**2 * percent / 100
            assert target > 1.25 * IDLE_BYTES, (title, request, percent)
            number += 1
    counted("autoscalers", number)


def test_pods_are_spread_over_zones_and_hosts(counted):
    """Every workload is spread over zones and hosts, by the labels it really has."""
    for manifests in rendered().values():
        for workload in of_kind(manifests, "Deployment") + of_kind(manifests, "DaemonSet"):
            template = workload["spec"]["template"]
            rules = template["spec"]["topologySpreadConstraints"]
            assert {r["topologyKey"] for r in rules} == {
                "topology.kubernetes.io/zone",
                "kubernetes.io/hostname",
            }
            for rule in rules:
                assert (
                    rule["labelSelector"]["matchLabels"].items()
                    <= template["metadata"]["labels"].items()
                )
    counted("value sets", len(rendered()))


def test_secrets_come_from_where_they_are_kept():
    """External Secrets feed the app's environment and the edge's token; TLS by cert-manager."""
    providers = {
        title: next(iter(one(rendered()[title], "SecretStore")["spec"]["provider"]))
        for title in (
            "fastapi-app.aws.prod",
            "fastapi-app.gcp.prod",
            "fastapi-app.azure.prod",
            "fastapi-app.vault",
        )
    }
    assert list(providers.values()) == ["aws", "gcpsm", "azurekv", "vault"]
    external = one(rendered()["fastapi-app.aws.prod"], "ExternalSecret")["spec"]
    assert {item["secretKey"] for item in external["data"]} == {"DATABASE_URL", "REDIS_URL"}
    assert container("fastapi-app.aws.prod")["envFrom"] == [
        {"secretRef": {"name": external["target"]["name"]}}
    ]
    edge = rendered()["thalweg-edge.gcp.prod"]
    assert (
        'token_file = "/etc/thalweg-admin/token"' in one(edge, "ConfigMap")["data"]["thalweg.toml"]
    )
    volumes = deployment("thalweg-edge.gcp.prod")["spec"]["template"]["spec"]["volumes"]
    named = {volume["secret"]["secretName"] for volume in volumes if "secret" in volume}
    assert named == {
        one(edge, "ExternalSecret")["spec"]["target"]["name"],
        one(edge, "Certificate")["spec"]["secretName"],
    }
    gcp = rendered()["fastapi-app.gcp.prod"]
    assert (
        one(gcp, "Gateway")["spec"]["listeners"][0]["tls"]["certificateRefs"][0]["name"]
        == one(gcp, "Certificate")["spec"]["secretName"]
    )


# What a store takes as a name: Key Vault would read what stands before a slash as a kind of object.
NAMES = {
    "aws": r"[A-Za-z0-9/_+=.@-]{1,512}",
    "gcpsm": r"[A-Za-z0-9_-]{1,255}",
    "azurekv": r"[A-Za-z0-9-]{1,127}",
    "vault": r"[A-Za-z0-9/_-]+",
}


def test_secrets_resolve_in_their_store(counted):
    """Each secret's name is one its store takes; Key Vault has a tenant, Vault a property."""
    seen = set()
    for title, manifests in rendered().items():
        for external in of_kind(manifests, "ExternalSecret"):
            ((provider, spec),) = one(manifests, "SecretStore")["spec"]["provider"].items()
            for item in external["spec"]["data"]:
                ref = item["remoteRef"]
                assert re.fullmatch(NAMES[provider], ref["key"]), (title, ref)
                assert provider != "vault" or ref["property"], (title, ref)
                seen.add((title, ref["key"]))
            if provider == "azurekv":
                assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", spec["tenantId"])
    providers = {title.split(".")[1] for title, _ in seen}
    assert providers >= {*CLOUDS, "vault"}
    counted("secrets", len(seen))


def test_services_call_each_other_by_policy(counted):
    """The five services: both sides say alike who calls whom; only the gateway is public."""
    calls, taken = set(), set()
    for service in SERVICES:
        policy = values_of("fastapi-app", service)["networkPolicy"]
        calls |= {(service, peer["release"]) for peer in policy.get("egress", []) if "release" in peer}
        taken |= {
            (peer["release"], service) for peer in policy.get("clients", []) if "release" in peer
        }
        for cloud in CLOUDS:
            manifests = rendered()[f"{service}.{cloud}.prod"]
            assert bool(of_kind(manifests, "HTTPRoute")) == (service == "api-gateway")
            assert one(manifests, "HorizontalPodAutoscaler")["spec"]["minReplicas"] == 3
    assert calls == taken and len(calls) == 6
    keys = one(rendered()["api-gateway.aws.prod"], "ExternalSecret")["spec"]["data"]
    assert [key["secretKey"] for key in keys] == ["REDIS_URL"]
    counted("calls", len(calls))


def test_edge_may_reach_its_endpoints():
    """The edge's way out follows its pools' ports; only Prometheus gets to the admin port."""
    text = one(rendered()["thalweg-edge.every-kind-of-value"], "NetworkPolicy", "thalweg-edge")[
        "spec"
    ]
    ports = {port["port"] for rule in text["egress"] for port in rule["ports"]}
    assert ports == {53, 443, 8000, 9001}
    clients, operators = text["ingress"]
    assert {port["port"] for port in clients["ports"]} == {8080}
    assert [port["port"] for port in operators["ports"]] == [9900]
    assert operators["from"][0]["namespaceSelector"]["matchLabels"] == {
        "kubernetes.io/metadata.name": "monitoring"
    }


def test_prometheus_without_operator_finds_the_pods(counted):
    """Every pod carries the annotations that prometheus.yml asks for, and lets Prometheus in there."""
    config = (INFRA / "monitoring/prometheus/prometheus.yml").read_text(encoding="utf-8")
    asked = set(re.findall(r"__meta_kubernetes_pod_annotation_prometheus_io_(\w+)", config))
    assert asked >= {"scrape", "port", "path"}
    number = 0
    for title, manifests in rendered().items():
        for workload in of_kind(manifests, "Deployment") + of_kind(manifests, "DaemonSet"):
            template = workload["spec"]["template"]
            notes = template["metadata"].get("annotations", {})
            if template["spec"].get("hostNetwork"):
                assert not notes, "the admin port listens on loopback there"
                continue
            port = "9900" if title.startswith("thalweg-edge.") else "8000"
            own = {name: note for name, note in notes.items() if name.startswith("prometheus.io/")}
            assert own == {
                "prometheus.io/scrape": "true",
                "prometheus.io/port": port,
                "prometheus.io/path": "/metrics",
            }, title
            container = template["spec"]["containers"][0]
            assert int(port) in [p["containerPort"] for p in container["ports"]]
            for policy in of_kind(manifests, "NetworkPolicy"):
                if policy["metadata"]["name"] == workload["metadata"]["name"]:
                    assert policy["spec"]["ingress"][-1]["ports"][0]["port"] == int(port)
            number += 1
    counted("workloads", number)


def test_traces_have_a_way_out():
    """Traces, where wanted: the endpoint and the name in the environment, and that port alone."""
    traced, untraced = "fastapi-app.traced", "fastapi-app.aws.prod"
    env = {item["name"]: item.get("value") for item in container(traced)["env"]}
    assert env["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://otel-collector.monitoring:4318"
    assert env["OTEL_SERVICE_NAME"] == "fastapi-app"
    names = {item["name"] for item in container(untraced)["env"]}
    assert not [name for name in names if name.startswith("OTEL_")]
    ways = {}
    for title in (traced, untraced):
        policy = one(rendered()[title], "NetworkPolicy", "fastapi-app")["spec"]
        ways[title] = [r for r in policy["egress"] if 4318 in [p["port"] for p in r["ports"]]]
    (way,) = ways[traced]
    assert not ways[untraced] and len(way["ports"]) == 1
    assert way["to"][0]["namespaceSelector"]["matchLabels"] == {
        "kubernetes.io/metadata.name": "monitoring"
    }


def test_bake_fails_on_a_sick_application(tmp_path):
    """The check after a release, really run: good answers pass it, one bad one fails it."""
    pod = one(rendered()["fastapi-app.defaults"], "Pod")
    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    program = pod["spec"]["containers"][0]["command"][2]
    server = tmp_path / "server.py"
    server.write_text(
        "import http.server, sys\n"
        "answers = [int(code) for code in sys.argv[1].split(',')]\n"
        "class Handler(http.server.BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        "        self.send_response(answers.pop(0) if len(answers) > 1 else answers[0])\n"
        "        self.end_headers()\n"
        "    def log_message(self, *_): pass\n"
        "server = http.server.HTTPServer(('127.0.0.1', 0), Handler)\n"
        "print(server.server_port, flush=True); server.serve_forever()\n"
    )
    for answers, verdict in (("200", 0), ("200,200,503,200", 1)):
        with subprocess.Popen(
            [sys.executable, server, answers], stdout=subprocess.PIPE, text=True
        ) as serving:
            try:
                url = f"http://127.0.0.1:{serving.stdout.readline().strip()}/health"
                baked = run(sys.executable, "-c", program, URL=url, SECONDS="1")
                assert bool(baked.returncode) == bool(verdict), baked.stdout + baked.stderr
            finally:
                serving.kill()
