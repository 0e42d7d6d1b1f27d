"""The charts: every cloud × stage × service × feature renders and is strictly valid."""

from __future__ import annotations

import json
import pathlib
import re
import secrets
import shutil

import pytest
from conftest import ROOT, find_tool, run
from edge import find_edge
from k8s import (
    CHARTS,
    CLOUDS,
    HELM,
    PUBLIC_KEY,
    SERVICES,
    STAGES,
    TOGGLES,
    helm,
    loaded,
    one,
    render,
    rendered,
    templates,
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
    ("spread.minDomains=3", "spread.minDomains needs spread.zone DoNotSchedule"),
    ("spread.nodeTaintsPolicy=Never", "/spread/nodeTaintsPolicy"),
    ("autoscaling.cpuPercent=0,autoscaling.memoryPercent=0", "autoscaling has nothing to go by"),
    ("autoscaling.perPod.a-b=1", "/autoscaling/perPod"),
    ("autoscaling.perPod.connections=0", "/autoscaling/perPod/connections"),
    ("imagePullSecrets={Not A Name}", "/imagePullSecrets/0"),
    ("podLabels.team=a b", "/podLabels/team"),
    ("serviceMonitor.labels.release=a b", "/serviceMonitor/labels/release"),
    ("certificate.renewBeforePercentage=100", "/certificate/renewBeforePercentage"),
    ("disruption.maxUnavailable=0", "/disruption/maxUnavailable"),
    ("externalSecret.provider=paper", "/externalSecret/provider"),
    ("externalSecret.enabled=true,externalSecret.provider=vault", "externalSecret.vault.server"),
    ("externalSecret.enabled=true,externalSecret.provider=azure", "/externalSecret/azure/tenantId"),
    (
        "externalSecret.enabled=true,externalSecret.provider=gcp,externalSecret.keys.A.name=a/b",
        "/externalSecret/keys/A/name",
    ),
    ("externalSecret.keys.A=a", "/externalSecret/keys/A"),
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
        ("expose.hosts={not a host}", "/expose/hosts/0"),
        ("expose.paths={api}", "/expose/paths/0"),
        ("expose.subdomain=a.b", "/expose/subdomain"),
        ("expose.allow={everybody}", "/expose/allow/0"),
        ("expose.by=door", "/expose/by"),
        ("ingress.enabled=true", "additional properties 'enabled'"),
        ("expose.by=ingress,cloud=aws", "expose.allow is empty"),
        ("expose.by=gateway,cloud=azure", "expose.allow is empty"),
        ("expose.by=ingress,expose.allow={192.0.2.1/32}", "is read on AWS and Azure only"),
        ("expose.by=ingress,cloud=gcp", "gateway.allowPolicy is empty"),
        ("expose.by=gateway,cloud=aws,expose.allow={192.0.2.1/32}", "gateway.tlsPolicy is empty"),
        ("expose.by=gateway", "gateway.className is needed"),
        ("expose.by=gateway,gateway.className=x", "certificate.enabled is needed"),
        ("expose.by=ingress,gateway.clientCa=x", "is read on AWS only"),
        ("drill.healthFailFile=/etc/passwd", "/drill/healthFailFile"),
        ("shutdown.delaySeconds=-1", "/shutdown/delaySeconds"),
        ("keepAliveSeconds=4", "/keepAliveSeconds"),
        ("tracing.endpoint=collector", "/tracing/endpoint"),
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
            "listeners[0].name=a,listeners[0].port=8443,listeners[0].servicePort=1,"
            "listeners[0].tls=true",
            "has tls",
        ),
        (
            "listeners[0].name=a,listeners[0].port=8443,listeners[0].servicePort=443,listeners[0].protocols={h3}",
            "has h3, which needs tls",
        ),
        ("fleet.enabled=true", "fleet.publicKey is needed"),
        ("fleet.publicKey=MCowBQYDK2Vw", "/fleet/publicKey"),
        ("fleet.servers={nats-0:4222}", "/fleet/servers/0"),
        ("fleet.enabled=true,fleet.ca=true", "fleet.ca is read from fleet.secretName"),
        ("fleet.ring=first", "/fleet/ring"),
        ("state.sizeLimit=much", "/state/sizeLimit"),
        ("config.fleet.ring=all", "'fleet'"),
        ("config.admin.bind=0.0.0.0:9900", "'admin'"),
        ("config.edge.drain_delay=1s", "'drain_delay'"),
        ("config.edge.workers=-1", "/config/edge/workers"),
        ("config.route.all.policy=random", "/config/route/all/policy"),
        ("config.route.all.timeouts.total=60", "/config/route/all/timeouts/total"),
        ("config.pool.aws-us-east-1.endpoint=x", "'endpoint'"),
        ("config.pool.aws-us-east-1.endpoints[0].address=10.0.0.1", "/endpoints/0/address"),
        ("config.probe.fastapi.interval=soon", "/config/probe/fastapi/interval"),
        ("cloud=aws,service.addresses={edge-1}", "are EIP allocations"),
        ("cloud=azure,service.addresses={a,b,c}", "one public IP for IPv4"),
        ("service.addresses={a}", "is read on AWS, Google Cloud and Azure only"),
        ("cloud=gcp,service.type=ClusterIP,service.addresses={a}", "needs service.type LoadBalancer"),
        ("service.sourceRanges={everybody}", "/service/sourceRanges/0"),
        ("service.loadBalancerClass=nlb", "/service/loadBalancerClass"),
        ("gate.errorShare=1", "/gate/errorShare"),
        ("gate.image.tag=latest", "/gate/image/tag"),
        ("gate.waitSeconds=0", "/gate/waitSeconds"),
        ("config.edge.name=edge-${HOSTNAME}", "names an environment variable"),
        ("drain.timeoutSeconds=0", "/drain/timeoutSeconds"),
        ("hostNetwork=true,serviceMonitor.enabled=true", "does not go with hostNetwork"),
    ],
}


def test_every_value_set_is_valid(counted):
    """Every cloud, stage, service and feature renders; every manifest is strictly valid."""
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
    """No template is dead: each gives an object for some values, the notes for all."""
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
    """Each values file changes what is rendered: cloud, stage, service."""
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


def test_generated_files_are_current(counted, monkeypatch):
    """Schemas and READMEs are what generate.py makes of values and `thalweg schema`."""
    monkeypatch.setenv("THALWEG_BIN", str(find_edge()))
    monkeypatch.syspath_prepend(str(HELM))
    import generate

    for chart in CHARTS:
        for name, make in (
            ("values.schema.json", generate.schema_of),
            ("README.md", generate.readme_of),
        ):
            text = (HELM / chart / name).read_text(encoding="utf-8")
            assert text == make(chart), f"{chart}/{name} is not current: make generate"
        keys = set(loaded(chart).values) - {"global", "thalweg-lib"}
        assert keys == set(re.findall(r"^\| `(\w+)` \|", text, flags=re.MULTILINE))
        assert "schema.yaml" not in [file["name"] for file in loaded(chart).files]
    counted("files", 2 * len(CHARTS))


def test_readme_names_what_a_cluster_needs(counted):
    """The page says which operators bring the kinds that the charts use, and its files exist."""
    text = (HELM / "README.md").read_text(encoding="utf-8")
    groups = {m["apiVersion"].split("/")[0] for manifests in rendered().values() for m in manifests}
    custom = {g for g in groups if "." in g and not g.endswith("k8s.io")} | {"autoscaling.k8s.io"}
    assert len(custom) == 7 and all(f"`{group}`" in text for group in custom)
    named = re.findall(r"infra/[\w./-]+", text)
    assert named and all((ROOT / name).exists() for name in named)
    counted("kinds of object", len(custom))


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


def mounted_files(folder: pathlib.Path) -> None:
    """What the edge's volumes bring beside its config: a token, a certificate and its key."""
    for name in ("thalweg-admin", "thalweg-tls"):
        (folder / name).mkdir()
    (folder / "thalweg-admin" / "token").write_text(secrets.token_hex(), encoding="utf-8")
    (folder / "fleet.pub").write_text(PUBLIC_KEY, encoding="utf-8")
    (folder / "thalweg-fleet").mkdir()
    (folder / "thalweg-fleet" / "credentials").write_text(f"edges:{secrets.token_hex()}\n", encoding="utf-8")
    (folder / "thalweg-fleet" / "credentials").chmod(0o440)  # as the volume's `defaultMode`
    pair = ("-keyout", folder / "thalweg-tls/tls.key", "-out", folder / "thalweg-tls/tls.crt")
    made = run(
        find_tool("openssl"),
        "req",
        "-x509",
        "-nodes",
        "-subj",
        "/CN=api.example.com",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        *pair,
    )
    assert made.returncode == 0, made.stderr
    shutil.copy(folder / "thalweg-tls" / "tls.crt", folder / "thalweg-fleet" / "ca.crt")


def test_rendered_config_passes_check(counted, tmp_path):
    """`thalweg check` takes every rendered configuration without a warning."""
    mounted_files(tmp_path)
    checked = 0
    for title, manifests in rendered().items():
        if not title.startswith("thalweg-edge."):
            continue
        text = one(manifests, "ConfigMap")["data"]["thalweg.toml"]
        for name in re.findall(r'"/etc/(thalweg-[a-z]+/[a-z.]+)"', text):
            assert (tmp_path / name).exists(), f"{title} names a file that no volume brings: {name}"
        (tmp_path / "thalweg.toml").write_text(text.replace('"/etc/', f'"{tmp_path}/'))
        said = run(find_edge(), "check", "--config", tmp_path / "thalweg.toml", "--format", "json")
        assert said.returncode == 0, f"{title}: {said.stdout}{said.stderr}"
        assert not json.loads(said.stdout or "{}").get("warnings"), f"{title}: {said.stdout}"
        checked += 1
    assert checked == len(CLOUDS) * len(STAGES) + len(TOGGLES["thalweg-edge"])
    counted("configurations", checked)


# What a spot node is tainted with: by AKS itself; on GKE as its documentation has the node pool made; EKS taints none.
SPOT = {
    "azure": {"key": "kubernetes.azure.com/scalesetpriority", "value": "spot", "effect": "NoSchedule"},
    "gcp": {"key": "cloud.google.com/gke-spot", "value": "true", "effect": "NoSchedule"},
}


def test_development_runs_on_spot_nodes(counted):
    """In dev the application tolerates the taint of each cloud's spot nodes; in prod none"""
    for cloud, taint in SPOT.items():
        for stage, wanted in (("dev", True), ("prod", False)):
            pod = one(rendered()[f"fastapi-app.{cloud}.{stage}"], "Deployment")["spec"]["template"]["spec"]
            tolerated = any(taint.items() <= toleration.items() for toleration in pod.get("tolerations", []))
            assert tolerated == wanted, (cloud, stage)
    counted("clouds", len(SPOT))
