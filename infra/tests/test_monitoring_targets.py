"""What a target is called: the same by every way that it is scraped, and as rules and dashboards ask for it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from conftest import ROOT, run
from k8s import CHARTS, Manifest, of_kind, one, render, values_of
from monitored import app_python
from relabel import by_operator, kept, pod_meta, relabel
from test_dashboards import APP_TARGET, EDGE_TARGET, expressions, rules
from test_monitoring import MONITORING, jobs, load

JOBS = {"thalweg-edge": "thalweg", "fastapi-app": "fastapi"}
PORTS = {"thalweg-edge": "9900", "fastapi-app": "8000"}
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
    assert asked == set(JOBS.values()), asked
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
