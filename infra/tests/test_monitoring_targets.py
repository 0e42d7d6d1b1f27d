"""What a target is called: the same by every way that it is scraped, and as rules and dashboards ask for it."""

from __future__ import annotations

import pathlib
import re
import shutil
from typing import Any

import pytest
from conftest import ROOT, find_tool, run
from k8s import CHARTS, STAGES, Manifest, of_kind, one, overlay, render, rendered, values_of
from monitored import app_python
from relabel import by_operator, kept, pod_meta, relabel
from test_dashboards import APP_TARGET, EDGE_TARGET, expressions, rules
from test_monitoring import MONITORING, jobs, load

JOBS = {"thalweg-edge": "thalweg", "fastapi-app": "fastapi"}
PORTS = {"thalweg-edge": "9900", "fastapi-app": "8000"}
DOCUMENT = ROOT / "docs" / "monitoring.md"
TARGETS = {"thalweg-edge": EDGE_TARGET, "fastapi-app": APP_TARGET}


def release(chart: str, cloud: str) -> list[Manifest]:
    return render(chart, values_of(chart, cloud, "prod"), f"one-{chart}")


def pod(chart: str, manifests: list[Manifest]) -> dict[str, Any]:
    kinds = {"Deployment", "DaemonSet"}
    (workload,) = [each for each in manifests if each["kind"] in kinds]
    template = workload["spec"]["template"]
    asks = {"prometheus.io/scrape": "true", "prometheus.io/port": PORTS[chart]}
    template["metadata"]["annotations"] = asks | (template["metadata"].get("annotations") or {})
    return pod_meta(template, "p-1", "apps", "10.1.2.3")


def monitored(chart: str, cloud: str) -> dict[str, str]:
    """The labels of the chart's pod by its ServiceMonitor."""
    manifests = release(chart, cloud)
    monitor = one(manifests, "ServiceMonitor")
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    (service,) = [s for s in of_kind(manifests, "Service") if wanted <= s["metadata"]["labels"].items()]
    meta = pod(chart, manifests) | {"__address__": f"10.1.2.3:{PORTS[chart]}"}
    return by_operator(monitor, service, meta)


def scraped(chart: str, cloud: str) -> dict[str, str]:
    """The labels of the chart's pod by prometheus.yml; exactly one job takes it."""
    meta = pod(chart, release(chart, cloud))
    found = []
    for name, job in jobs(load(MONITORING / "prometheus/prometheus.yml")).items():
        if {role["role"] for role in job.get("kubernetes_sd_configs", [])} == {"pod"}:
            if labels := relabel({"job": name} | meta, job["relabel_configs"]):
                found.append(kept(labels))
    assert len(found) == 1, found
    return found[0]


@pytest.mark.parametrize("cloud", ["aws", "gcp"])
@pytest.mark.parametrize("chart", CHARTS)
def test_targets_are_named_alike(chart: str, cloud: str, counted) -> None:
    """A pod has the same job and labels by ServiceMonitor and by prometheus.yml: those that rules and dashboards know"""
    by_monitor, by_file = monitored(chart, cloud), scraped(chart, cloud)
    assert by_monitor == by_file
    assert by_file["job"] == JOBS[chart] and set(by_file) == TARGETS[chart]
    assert by_file["instance"] == f"10.1.2.3:{PORTS[chart]}"
    place = ("edge_cloud", "edge_region") if chart == "thalweg-edge" else ("cloud", "region")
    values = values_of(chart, cloud, "prod")
    assert [by_file[name] for name in place] == [values["cloud"], values["region"]]
    counted("labels", len(by_file))


def test_jobs_are_the_ones_asked_for(counted) -> None:
    """Every job that a rule or dashboard asks for is one that targets get"""
    asked = {job for _, text in expressions() for job in re.findall(r'\bjob="([^"]+)"', text)}
    outside = set(jobs(load(MONITORING / "outside/prometheus.yml")))
    assert asked == set(JOBS.values()) | outside, asked
    counted("jobs", len(asked))


def test_probes_are_not_users(counted) -> None:
    """Rules about a service's requests leave out every route that a probe or scrape asks: the application has these"""
    asks = "import app.main; print(*(route.path for route in app.main.app.routes if hasattr(route, 'path')))"
    routes = set(run(app_python(), "-c", asks, cwd=ROOT / "app").stdout.split())
    workload = one(release("fastapi-app", "aws"), "Deployment")
    (container,) = workload["spec"]["template"]["spec"]["containers"]
    probed = {container[name]["httpGet"]["path"] for name in ("startupProbe", "readinessProbe", "livenessProbe")}
    # The edges' own probe, and what is scraped.
    wanted = probed | {"/health", "/metrics"}
    assert wanted <= routes, wanted - routes
    asked = [rule["expr"] for rule in rules() if re.search(r"app_request(s_total|_duration_seconds_bucket)", rule["expr"])]
    left_out = [set(out.split("|")) for text in asked for out in re.findall(r'route!~"([^"]+)"', text)]
    assert len(left_out) == sum(text.count("app_request") - text.count("service:app_request") for text in asked)
    assert all(each == wanted for each in left_out), left_out
    counted("selectors", len(left_out))


def takers(meta: dict[str, str]) -> list[str]:
    """The jobs that take a pod."""
    found = []
    for name, job in jobs(load(MONITORING / "prometheus/prometheus.yml")).items():
        if {role["role"] for role in job.get("kubernetes_sd_configs", [])} == {"pod"}:
            found += [name] * (relabel(meta, job["relabel_configs"]) is not None)
    return found


def test_strangers_are_no_services(counted) -> None:
    """Every pod of ours is taken by its own job, by charts, services and overlays; a stranger that asks is taken by none"""
    workloads = [
        (title, workload)
        for title, manifests in (rendered() | {f"overlays/{s}": overlay(f"overlays/{s}") for s in STAGES}).items()
        for workload in of_kind(manifests, "Deployment") + of_kind(manifests, "DaemonSet")
        if workload["spec"]["template"]["metadata"].get("annotations")
    ]
    for title, workload in workloads:
        meta = pod_meta(workload["spec"]["template"], "p-1", "apps", "10.1.2.3")
        assert takers(meta) == [JOBS[title.split(".")[0]] if title.startswith("thalweg-edge") else "fastapi"], title
    asks = {"prometheus.io/scrape": "true", "prometheus.io/port": "9121"}
    stranger = {"metadata": {"labels": {"app.kubernetes.io/name": "redis"}, "annotations": asks}}
    assert takers(pod_meta(stranger, "p-1", "apps", "10.1.2.3")) == []
    counted("workloads", len(workloads))


def test_one_without_cluster_wide_rights_asks_for_none(tmp_path: pathlib.Path, counted) -> None:
    """namespaced.patch applies; what is left lists pods and services in named namespaces only, where the page gives rights"""
    copy = tmp_path / "prometheus.yml"
    shutil.copy(MONITORING / "prometheus/prometheus.yml", copy)
    done = run(find_tool("patch"), copy, MONITORING / "prometheus/namespaced.patch")
    assert done.returncode == 0 and "fuzz" not in done.stdout, done.stdout + done.stderr
    config = load(copy)
    rights = set(re.findall(r"kubectl -n (\S+) apply -f infra/monitoring/prometheus/rbac-namespace.yaml", DOCUMENT.read_text()))
    discovered = config["scrape_configs"] + config["alerting"]["alertmanagers"]
    asked = [way for job in discovered for way in job.get("kubernetes_sd_configs", [])]
    for way in asked:
        assert way["role"] != "node" and set(way["namespaces"]["names"]) <= rights, way
    whole = load(MONITORING / "prometheus/prometheus.yml")
    assert set(jobs(whole)) - set(jobs(config)) == {"kubernetes-nodes", "kubernetes-cadvisor", "operators", "node-exporter"}
    for name, job in jobs(config).items():
        assert job["relabel_configs"] == jobs(whole)[name]["relabel_configs"]
    counted("ways", len(asked))
