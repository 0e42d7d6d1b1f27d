"""The charts: every cloud × stage × service × feature renders, is strictly valid, and means what it should."""

from __future__ import annotations

import json
import re
import sys

import pytest
from conftest import run
from k8s import (
    CHARTS,
    CLOUDS,
    HELM,
    SERVICES,
    STAGES,
    TOGGLES,
    helm,
    loaded,
    of_kind,
    one,
    render,
    rendered,
    templates,
    thalweg,
    validate,
    value_sets,
    values_of,
)

# As typed after --set, and a part of the message that it must give.
WRONG_IN_BOTH = [
    ("replicas=many", "/replicas"),
    ("replicaCount=3", "additional properties 'replicaCount'"),
    ("cloud=ibm", "/cloud"),
    ("image.tag=latest", "/image/tag"),
    ("image.digest=sha256:abc", "/image/digest"),
    ("image.repository=UPPER", "/image/repository"),
    ("autoscaling.minReplicas=0", "/autoscaling/minReplicas"),
    ("autoscaling.cpuPercent=150", "/autoscaling/cpuPercent"),
    ("autoscaling.minReplicas=20", "is above autoscaling.maxReplicas"),
    ("vpa.enabled=true,vpa.updateMode=Recreate", "vpa.updateMode must be Off"),
    ("resources.limits.memory=lots", "/resources/limits/memory"),
    ("resources.limits=null", "'limits'"),
    ("spread.zone=Sometimes", "/spread/zone"),
    ("disruption.maxUnavailable=0", "/disruption/maxUnavailable"),
    ("externalSecret.provider=paper", "/externalSecret/provider"),
    ("externalSecret.enabled=true,externalSecret.provider=vault", "externalSecret.vault.server"),
    ("networkPolicy.egress[0].cidr=10.0.0.0/8", "ports"),
    ("networkPolicy.clients[0].host=example.com", "/networkPolicy/clients/0"),
    ("networkPolicy.clients[0].cidr=everywhere", "/networkPolicy/clients/0/cidr"),
    ("rbac.operators={system:authenticated}", "/rbac/operators/0"),
    ("serviceMonitor.interval=15", "/serviceMonitor/interval"),
]
WRONG = {
    "fastapi-app": [
        ("service.nodePort=80", "/service/nodePort"),
        ("service.nodePort=30080", "service.nodePort needs service.type NodePort"),
        ("service.type=ExternalName", "/service/type"),
        ("ingress.hosts={not a host}", "/ingress/hosts/0"),
        ("ingress.paths={api}", "/ingress/paths/0"),
        ("drill.healthFailFile=/etc/passwd", "/drill/healthFailFile"),
        ("shutdown.delaySeconds=-1", "/shutdown/delaySeconds"),
        ("env.lower=1", "/env"),
        ("bake.seconds=0", "/bake/seconds"),
    ],
    "thalweg-edge": [
        ("kind=StatefulSet", "/kind"),
        (
            "listeners[0].name=web,listeners[0].port=80,listeners[0].servicePort=80",
            "/listeners/0/port",
        ),
        (
            "listeners[0].name=a,listeners[0].port=9900,listeners[0].servicePort=80",
            "/listeners/0/port",
        ),
        (
            "listeners[0].name=a,listeners[0].port=8080,listeners[0].servicePort=9900",
            "/servicePort",
        ),
        (
            "listeners[0].name=a,listeners[0].port=8443,listeners[0].servicePort=443,listeners[0].tls=true",
            "has tls",
        ),
        ("config.admin.bind=0.0.0.0:9900", "'admin'"),
        ("config.edge.drain_delay=1s", "'drain_delay'"),
        ("config.edge.workers=-1", "/config/edge/workers"),
        ("config.route.all.policy=random", "/config/route/all/policy"),
        ("config.route.all.timeouts.total=60", "/config/route/all/timeouts/total"),
        ("config.pool.aws-us-east-1.endpoint=x", "'endpoint'"),
        ("config.pool.aws-us-east-1.endpoints[0].address=10.0.0.1", "/endpoints/0/address"),
        ("config.probe.fastapi.interval=soon", "/config/probe/fastapi/interval"),
        ("drain.timeoutSeconds=0", "/drain/timeoutSeconds"),
        ("hostNetwork=true,serviceMonitor.enabled=true", "does not go with hostNetwork"),
    ],
}


def deployment(title: str):
    return one(rendered()[title], "Deployment")


def container(title: str):
    return deployment(title)["spec"]["template"]["spec"]["containers"][0]


def test_every_value_set_is_valid(counted):
    """Charts render for every cloud, stage, service and feature, and every manifest is strictly valid."""
    sets = rendered()
    assert len(sets) >= len(CHARTS) * 9 + len(SERVICES) * 3
    counted("manifests", validate(sets))
    counted("value sets", len(sets))


def test_lint_is_clean(counted):
    """`helm lint --strict` finds nothing."""
    for chart in CHARTS:
        for stage in STAGES:
            report = helm().lint(
                str(HELM / chart), values_of(chart, "aws", stage), strict=True, namespace="apps"
            )
            wrong = [message for message in report["messages"] if message["severity"] >= 2]
            assert not wrong and not report["errors"], (chart, stage, wrong)
    counted("lints", len(CHARTS) * len(STAGES))


@pytest.mark.parametrize("chart", CHARTS)
def test_wrong_values_are_refused(chart, counted):
    """A wrong value is refused with a message that names it."""
    table = WRONG_IN_BOTH + WRONG[chart]
    for typed, expected in table:
        with pytest.raises(helm().HelmError) as refused:
            templates(chart, helm().parse_set_string(typed))
        assert expected in str(refused.value), f"{typed}: {refused.value}"
    counted("wrong values", len(table))


@pytest.mark.parametrize("chart", CHARTS)
def test_every_template_gives_something(chart, counted):
    """No template of a chart is dead: each one gives an object for some values, the notes for all."""
    sets = [values for owner, values, _ in value_sets().values() if owner == chart]
    texts = [templates(chart, values) for values in sets]
    own = [
        p for p in sorted((HELM / chart / "templates").rglob("*")) if p.suffix in (".yaml", ".txt")
    ]
    for path in own:
        key = path.relative_to(HELM).as_posix()
        gave = [
            text[key] for text in texts if "kind:" in text.get(key, "") or path.suffix == ".txt"
        ]
        assert any(text.strip() for text in gave), f"{key} never gives anything"
    assert all(text[f"{chart}/templates/NOTES.txt"].strip() for text in texts)
    counted("templates", len(own))


@pytest.mark.parametrize("chart", CHARTS)
def test_every_values_file_matters(chart, counted):
    """Each values file changes what is rendered; a cloud's file says which cloud, a service's which image."""
    for name in CLOUDS + STAGES:
        values = values_of(chart, name)
        assert render(chart, values) != render(chart, {}), name
        if name in CLOUDS:
            labels = one(render(chart, values), "ServiceAccount")["metadata"]["labels"]
            assert labels["cloud"] == name and labels["region"] != "local"
    for service in SERVICES if chart == "fastapi-app" else ():
        image = one(render(chart, values_of(chart, service), service), "Deployment")
        image = image["spec"]["template"]["spec"]["containers"][0]["image"]
        assert f"/{service}:" in image
    counted("files", 6 + (len(SERVICES) if chart == "fastapi-app" else 0))


def test_generated_files_are_current(counted):
    """values.schema.json and README.md are what generate.py makes of their sources and of `thalweg schema`."""
    checked = run(sys.executable, HELM / "generate.py", "--check", THALWEG_BIN=str(thalweg()))
    assert checked.returncode == 0, checked.stdout + checked.stderr
    for chart in CHARTS:
        keys = set(loaded(chart).values) - {"global", "thalweg-lib"}
        readme = (HELM / chart / "README.md").read_text(encoding="utf-8")
        assert keys == set(re.findall(r"^\| `(\w+)` \|", readme, flags=re.MULTILINE))
        assert len(keys) > 15 and (HELM / chart / ".helmignore").read_text().strip()
    counted("files", 4)


def test_library_is_one(counted):
    """Both charts carry the library as it stands in lib/, and nothing of their own beside it."""
    library = {
        path.name: path.read_text()
        for path in (HELM / "lib").rglob("*")
        if path.name != "schema.yaml" and path.is_file()
    }
    assert len(library) >= 7 and all(text.strip() for text in library.values())
    for chart in CHARTS:
        carried = {
            path.name: path.read_text()
            for path in (HELM / chart / "charts" / "lib").rglob("*")
            if path.is_file()
        }
        assert carried == library, chart
        assert "thalweg-lib" in [dependency["name"] for dependency in loaded(chart).dependencies]
    counted("files", len(library))


def test_rendered_config_passes_check(counted, tmp_path):
    """`thalweg check` takes every configuration that the edge's chart renders, without a warning."""
    checked = 0
    for title, manifests in rendered().items():
        if not title.startswith("thalweg-edge."):
            continue
        text = one(manifests, "ConfigMap")["data"]["thalweg.toml"]
        for name in re.findall(r'"/etc/(thalweg-[a-z]+/[a-z.]+)"', text):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text("one-visible-line")
        (tmp_path / "thalweg.toml").write_text(text.replace('"/etc/', f'"{tmp_path}/'))
        said = run(thalweg(), "check", "--config", tmp_path / "thalweg.toml", "--format", "json")
        assert said.returncode == 0, f"{title}: {said.stdout}{said.stderr}"
        assert not json.loads(said.stdout or "{}").get("warnings"), f"{title}: {said.stdout}"
        checked += 1
    assert checked == len(CLOUDS) * len(STAGES) + len(TOGGLES["thalweg-edge"])
    counted("configurations", checked)


def test_config_change_restarts_nothing():
    """A changed edge config changes the ConfigMap alone: no checksum, no subPath, a directory that the edge watches."""
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
                needed = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
            assert needed < pod["terminationGracePeriodSeconds"], title
    counted("value sets", len(rendered()))


def test_probes_ask_the_right_question():
    """App: /ready and /alive on 8000. Edge: /readyz and /livez on the admin port, on loopback under hostNetwork."""
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
    """Production: HPA v2 with min 3, on CPU and memory, down slowly; `autoscale --cpu-percent=50 --min=3 --max=10` too."""
    for chart in CHARTS:
        for cloud in CLOUDS:
            spec = one(rendered()[f"{chart}.{cloud}.prod"], "HorizontalPodAutoscaler")["spec"]
            assert spec["minReplicas"] == 3
            assert {m["resource"]["name"] for m in spec["metrics"]} == {"cpu", "memory"}
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


def test_cloud_balancers():
    """AWS: ALB to node ports by host and path, NLB for the edge; GCP: NEG; Azure: managed ingress."""
    aws = rendered()["fastapi-app.aws.prod"]
    notes = one(aws, "Ingress")["metadata"]["annotations"]
    assert notes["alb.ingress.kubernetes.io/target-type"] == "instance"
    assert one(aws, "Service")["spec"]["type"] == "NodePort"
    assert one(aws, "Ingress")["spec"]["ingressClassName"] == "alb"
    rule = one(rendered()["fastapi-app.paths"], "Ingress")["spec"]["rules"][0]
    assert (rule["host"], [p["path"] for p in rule["http"]["paths"]]) == (
        "a.example.com",
        ["/a", "/b"],
    )
    gcp = rendered()["fastapi-app.gcp.prod"]
    assert json.loads(one(gcp, "Service")["metadata"]["annotations"]["cloud.google.com/neg"]) == {
        "ingress": True
    }
    assert one(gcp, "Ingress")["metadata"]["annotations"]["kubernetes.io/ingress.class"] == "gce"
    assert "ingressClassName" not in one(gcp, "Ingress")["spec"]
    azure = one(rendered()["fastapi-app.azure.prod"], "Ingress")["spec"]
    assert azure["ingressClassName"] == "webapprouting.kubernetes.azure.com"
    for cloud, key in (
        ("aws", "service.beta.kubernetes.io/aws-load-balancer-nlb-target-type"),
        ("gcp", "cloud.google.com/l4-rbs"),
        ("azure", "service.beta.kubernetes.io/azure-load-balancer-internal"),
    ):
        service = one(rendered()[f"thalweg-edge.{cloud}.prod"], "Service", "thalweg-edge")
        assert service["metadata"]["annotations"][key]
        assert service["spec"]["externalTrafficPolicy"] == "Local"
        assert [port["port"] for port in service["spec"]["ports"]] == [80, 443]


def test_secrets_come_from_where_they_are_kept():
    """External Secrets from AWS, GCP, Azure and Vault feed the app's environment and the edge's token; TLS by cert-manager."""
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
        one(gcp, "Ingress")["spec"]["tls"][0]["secretName"]
        == one(gcp, "Certificate")["spec"]["secretName"]
    )


def test_services_call_each_other_by_policy(counted):
    """The five services: who may call whom is said alike on both sides, and only the gateway has an ingress."""
    calls, taken = set(), set()
    for service in SERVICES:
        policy = values_of("fastapi-app", service)["networkPolicy"]
        calls |= {(service, peer["release"]) for peer in policy["egress"] if "release" in peer}
        taken |= {
            (peer["release"], service) for peer in policy.get("clients", []) if "release" in peer
        }
        for cloud in CLOUDS:
            manifests = rendered()[f"{service}.{cloud}.prod"]
            assert bool(of_kind(manifests, "Ingress")) == (service == "api-gateway")
            assert one(manifests, "HorizontalPodAutoscaler")["spec"]["minReplicas"] == 3
    assert calls == taken and len(calls) == 6
    keys = one(rendered()["api-gateway.aws.prod"], "ExternalSecret")["spec"]["data"]
    assert [key["secretKey"] for key in keys] == ["REDIS_URL"]
    counted("calls", len(calls))


def test_edge_may_reach_its_endpoints():
    """The edge's way out follows the ports of its pools and probes; Prometheus reaches the admin port, clients do not."""
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


def test_bake_fails_on_a_sick_application(tmp_path):
    """The check after a release really runs here: good answers pass it, one bad answer fails it."""
    pod = one(rendered()["fastapi-app.defaults"], "Pod")
    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    program = pod["spec"]["containers"][0]["command"][2]
    server = tmp_path / "server.py"
    server.write_text(
        "import http.server, sys\n"
        "answers = [int(code) for code in sys.argv[1].split(',')]\n"
        "class Handler(http.server.BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        "        self.send_response(answers.pop(0) if len(answers) > 1 else answers[0]); self.end_headers()\n"
        "    def log_message(self, *_): pass\n"
        "server = http.server.HTTPServer(('127.0.0.1', 0), Handler)\n"
        "print(server.server_port, flush=True); server.serve_forever()\n"
    )
    import subprocess

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
