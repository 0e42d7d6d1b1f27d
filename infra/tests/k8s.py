"""Renders charts (Helm engine) and overlays (kustomize), and judges the manifests strictly.

Never talks to a cluster, never skips silently: without the kit core kinds are still validated.
"""

from __future__ import annotations

import functools
import itertools
import os
import pathlib
import re
import shutil
import tempfile
from collections.abc import Iterable
from typing import Any

import pytest
import yaml
from conftest import INFRA, ROOT, find_kit, find_tool, run, skip_loudly

HELM = INFRA / "helm"
KUSTOMIZE = INFRA / "kustomize"
CHARTS = ("fastapi-app", "thalweg-edge")
CLOUDS = ("aws", "gcp", "azure")
STAGES = ("dev", "stage", "prod")
# Beside the cloud's own way in: the same balancer asked for by an Ingress.
INGRESSES = ("aws-ingress", "gcp-ingress")
SERVICES = ("api-gateway", "user-service", "order-service", "payment-service", "delivery-service")
VERSIONS = tuple(
    entry["version"] for entry in yaml.safe_load((INFRA / "versions.yaml").read_text(encoding="utf-8"))["kubernetes"]
)

# Of kinds that the kit does not know.
SCHEMAS = INFRA / "tests" / "schemas"

Manifest = dict[str, Any]

# What a platform asks of every chart: its registry, its labels, its nodes, its Prometheus, its metrics.
PLATFORM: dict[str, Any] = {
    "imagePullSecrets": ["registry"],
    "podLabels": {"team": "traffic", "app.kubernetes.io/instance": "not-yours"},
    "podAnnotations": {"example.com/owner": "traffic", "prometheus.io/scrape": "false"},
    "affinity": {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [
                    {"matchExpressions": [{"key": "pool", "operator": "In", "values": ["edge"]}]}
                ]
            }
        }
    },
    "image": {"digest": "sha256:" + "a" * 64},
    "spread": {"zone": "DoNotSchedule", "minDomains": 2, "nodeTaintsPolicy": "Ignore", "matchLabelKeys": []},
    "serviceMonitor": {"enabled": True, "labels": {"release": "kube-prometheus-stack"}},
    "autoscaling": {"cpuPercent": 0, "memoryPercent": 0, "perPod": {"http_requests_per_second": "200"}},
}

# One port for TCP and UDP.
QUIC = [{"name": "secure", "port": 8443, "servicePort": 443, "protocols": ["h2", "http/1.1", "h3"], "tls": True}]
# Of a pair that was thrown away.
PUBLIC_KEY = """-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PUBLIC KEY-----
"""

# Features that no cloud and no stage switches on, and what else may be set: name → values.
TOGGLES: dict[str, dict[str, Any]] = {
    "fastapi-app": {
        "defaults": {},
        "autoscale-50": {"autoscaling": {"cpuPercent": 50, "minReplicas": 3, "maxReplicas": 10}},
        "fixed-replicas": {"autoscaling": {"enabled": False}, "replicas": 5},
        "node-port": {"service": {"type": "NodePort", "nodePort": 30080}},
        "platform": PLATFORM,
        "sick": {"drill": {"healthFail": True}},
        "vault": {
            "externalSecret": {
                "enabled": True,
                "provider": "vault",
                "vault": {"server": "https://vault.example.com:8200"},
            }
        },
        "own-secret": {"secretName": "stores"},
        "paths": {
            "expose": {"by": "ingress", "hosts": ["a.example.com"], "paths": ["/a", "/b"]},
            "ingress": {"annotations": {"example.com/note": "{{ .Release.Name }}"}},
        },
        "gateway": {
            "expose": {"by": "gateway", "hosts": ["a.example.com", "b.example.com"], "paths": ["/a", "/b"]},
            "gateway": {"className": "any", "clientCa": "edges"},
            "certificate": {"enabled": True},
        },
        "no-policies": {"networkPolicy": {"enabled": False}},
        "shared-address-space": {
            "expose": {"by": "ingress"},
            "networkPolicy": {
                "balancer": [{"cidr": "100.64.0.0/10"}],
                "stores": {"cidrs": ["100.64.0.0/10"]},
            },
        },
        "traced": {"tracing": {"enabled": True}},
        "operators": {"rbac": {"operators": ["oncall"]}},
        "vpa-acts": {
            "autoscaling": {"enabled": False},
            "vpa": {"enabled": True, "updateMode": "Recreate"},
        },
    },
    "thalweg-edge": {
        "defaults": {},
        "platform": PLATFORM,
        "daemonset": {"kind": "DaemonSet", "vpa": {"enabled": True}},
        "host-network": {"kind": "DaemonSet", "hostNetwork": True},
        "host-network-deployment": {"hostNetwork": True},
        "fixed-replicas": {"autoscaling": {"enabled": False}, "replicas": 4},
        "own-certificate": {
            "listeners": [{"name": "tls", "port": 8443, "servicePort": 443, "tls": True}],
            "certificate": {"secretName": "site"},
        },
        "h2c": {
            "listeners": [
                {"name": "w", "port": 8080, "servicePort": 80, "protocols": ["http/1.1", "h2c"]}
            ]
        },
        "http3": {"listeners": QUIC, "certificate": {"secretName": "site"}},
        "http3-aws": {"cloud": "aws", "listeners": QUIC, "certificate": {"secretName": "site"}},
        "fleet": {"fleet": {"enabled": True, "publicKey": PUBLIC_KEY, "secretName": "fleet", "ca": True, "ring": "canary"}},
        "fleet-without-password": {"fleet": {"enabled": True, "publicKey": PUBLIC_KEY}, "kind": "DaemonSet"},
        "state": {"state": {"enabled": True, "sizeLimit": "1Gi"}},
        "token": {"secretName": "admin"},
        "client-certificate": {"clientCertificate": {"secretName": "edge-client"}},
        "dual-stack": {"dualStack": True},
        "reserved-aws": {"cloud": "aws", "service": {"addresses": ["eipalloc-0a", "eipalloc-0b", "eipalloc-0c"]}},
        "reserved-gcp": {"cloud": "gcp", "service": {"addresses": ["edge-v4", "edge-v6"]}},
        "reserved-azure": {
            "cloud": "azure",
            "service": {
                "addresses": ["edge-v4", "edge-v6"],
                "annotations": {"service.beta.kubernetes.io/azure-pip-name": "mine"},
            },
        },
        "closed": {
            "service": {
                "sourceRanges": ["192.0.2.0/24", "2001:db8::/32"],
                "loadBalancerClass": "example.com/l4",
                "protect": True,
            }
        },
        "operators": {"rbac": {"operators": ["oncall"]}},
        "long-drain": {"drain": {"delaySeconds": 60, "timeoutSeconds": 600}},
        "every-kind-of-value": {
            # Each edge has a name, and so a config, of its own.
            "gate": {"enabled": False},
            "config": {
                "edge": {"workers": 2, "name": "edge-${HOSTNAME:-x}"},
                "resolver": {"nameservers": ["9.9.9.9"], "max_addresses": 8},
                "limits": {"max_connections": 1000000, "header_bytes": "32KiB"},
                "eject": {"panic_threshold": 0.4},
                "log": {"access": "common"},
                "probe": {
                    "deep": {
                        "path": "/x?q=a&b=c",
                        "port": 9001,
                        "expect_status": ["2xx"],
                        "headers": {"User-Agent": 'th"al\\weg'},
                        "expect_json": {"status": ["ok", "degraded"], "n": 3, "up": True},
                    }
                },
                "pool": {
                    "v6": {
                        "probe": "deep",
                        "endpoints": [{"address": "[2001:db8::1]:8000", "weight": 5}],
                        "keepalive": {"idle": "3s", "max_idle": 0},
                        "eject": {"panic_threshold": 0.3},
                    }
                },
                "route": {
                    "v6.only": {
                        "hosts": ["*.v6.example.com"],
                        "path_prefix": "/v6",
                        "policy": "failover",
                        "pools": [{"pool": "v6", "dial": 50, "tier": 1}, {"pool": "aws-us-east-1"}],
                        "overprovision": 2,
                        "retry": {"attempts": 0, "budget": 0.25},
                    }
                },
            }
        },
    },
}


@functools.cache
def helm():
    """The Helm 4 engine."""
    try:
        import helm_python
    except ImportError:
        skip_loudly("helm-python-sdk", "the PyPI package `helm-python-sdk` is not installed")
    helm_python.disable_logging()
    return helm_python


def merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Helm's rule for several values files: maps are merged, everything else is replaced."""
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge(merged[key], value) if both else value
    return merged


def values_of(chart: str, *names: str) -> dict[str, Any]:
    """Values of `values-NAME.yaml`, or of `values-services/NAME.yaml`, in this order."""
    values: dict[str, Any] = {}
    for name in names:
        folder = "values-services/" if name in SERVICES else "values-"
        text = (HELM / chart / f"{folder}{name}.yaml").read_text(encoding="utf-8")
        values = merge(values, yaml.safe_load(text) or {})
    return values


@functools.cache
def loaded(chart: str):
    """The chart with the library as it stands in lib/ (as `helm dependency build` would)."""
    with tempfile.TemporaryDirectory() as folder:
        copy = pathlib.Path(folder, chart)
        shutil.copytree(HELM / chart, copy, ignore=lambda *_: ["charts"])
        shutil.copytree(HELM / "lib", copy / "charts" / "lib")
        return helm().Chart.load(str(copy))


def templates(
    chart: str, values: dict[str, Any], name: str | None = None, namespace: str = "apps"
) -> dict[str, str]:
    """Template path → text."""
    return loaded(chart).render(values, name=name or chart, namespace=namespace)


def parsed(text: str) -> list[Manifest]:
    return [document for document in yaml.safe_load_all(text) if document]


def render(chart: str, values: dict[str, Any], name: str | None = None) -> list[Manifest]:
    texts = templates(chart, values, name)
    return [
        doc for path in sorted(texts) if not path.endswith(".txt") for doc in parsed(texts[path])
    ]


def value_sets() -> dict[str, tuple[str, dict[str, Any], str]]:
    """Every set of values that is rendered: title → (chart, values, release name)."""
    sets = {}
    for chart in CHARTS:
        for cloud in CLOUDS:
            for stage in STAGES:
                sets[f"{chart}.{cloud}.{stage}"] = (chart, values_of(chart, cloud, stage), chart)
        for toggle, values in TOGGLES[chart].items():
            sets[f"{chart}.{toggle}"] = (chart, values, chart)
    for way in INGRESSES:
        values = values_of("fastapi-app", way.split("-")[0], "prod", way)
        sets[f"fastapi-app.{way}.prod"] = ("fastapi-app", values, "fastapi-app")
    for service in SERVICES:
        for cloud in CLOUDS:
            values = values_of("fastapi-app", cloud, "prod", service)
            sets[f"{service}.{cloud}.prod"] = ("fastapi-app", values, service)
    return sets


@functools.cache
def rendered() -> dict[str, list[Manifest]]:
    """Every set of values, rendered once."""
    return {
        title: render(chart, values, name) for title, (chart, values, name) in value_sets().items()
    }


@functools.cache
def overlay(name: str) -> list[Manifest]:
    """What `kubectl kustomize` makes of an overlay."""
    built = run(find_tool("kubectl"), "kustomize", KUSTOMIZE / name)
    assert built.returncode == 0, built.stderr
    return parsed(built.stdout)


def of_kind(manifests: Iterable[Manifest], kind: str) -> list[Manifest]:
    return [manifest for manifest in manifests if manifest["kind"] == kind]


def one(manifests: Iterable[Manifest], kind: str, name: str | None = None) -> Manifest:
    found = [m for m in of_kind(manifests, kind) if name in (None, m["metadata"]["name"])]
    assert len(found) == 1, f"{len(found)} objects of kind {kind} named {name or 'anything'}"
    return found[0]


def validate(groups: dict[str, list[Manifest]]) -> int:
    """Holds each group against the schemas of every version; the number of manifests."""
    if not any(groups.values()):
        pytest.fail("nothing to validate")
    beside = ROOT.parent / "shared" / "offline-validation"
    if not pathlib.Path(os.environ.get("OFFLINE_VALIDATION") or beside).exists():
        return validate_core(groups)
    kit = find_kit()
    with tempfile.TemporaryDirectory() as folder:
        for title, manifests in groups.items():
            text = yaml.safe_dump_all(manifests)
            pathlib.Path(folder, f"{title}.yaml").write_text(text, encoding="utf-8")
        versions = [part for version in VERSIONS for part in ("-k", version)]
        judged = run(kit / "validate-k8s", *versions, "--schema-dir", SCHEMAS, folder)
    assert judged.returncode == 0, judged.stdout + judged.stderr
    counts = re.search(r"(\d+) valid, 0 invalid", judged.stdout + judged.stderr)
    assert counts, judged.stdout + judged.stderr
    return int(counts[1])


def validate_core(groups: dict[str, list[Manifest]]) -> int:
    """Without the kit: core kinds only, then a loud skip if there are others."""
    import kubernetes_validate

    unknown = set()
    for title, manifests in groups.items():
        for manifest, version in itertools.product(manifests, VERSIONS):
            try:
                kubernetes_validate.validate(manifest, version, strict=True)
            except kubernetes_validate.SchemaNotFoundError:
                unknown.add(manifest["kind"])
            except kubernetes_validate.ValidationError as problem:
                pytest.fail(f"{title}: {manifest['kind']}: {problem}")
    if unknown:
        kinds = ", ".join(sorted(unknown))
        skip_loudly("offline-validation", f"core kinds are valid; without a schema: {kinds}")
    return sum(map(len, groups.values()))
