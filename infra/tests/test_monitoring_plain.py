"""Monitoring on a plain cluster: what is mounted is what the programs are told, and nothing waits for what kubeadm lacks."""

from __future__ import annotations

import pathlib
import re
import shutil
from typing import Any

import yaml
from conftest import INFRA, find_tool, run
from k8s import KUSTOMIZE, Manifest, of_kind, one, overlay, parsed, validate
from relabel import relabel
from test_monitoring import MONITORING, RULES, jobs, known_to_amtool, load, with_file_discovery

GIGA = {"GB": 10**9, "Gi": 2**30}


def giga(size: str) -> float:
    number, unit = re.fullmatch(r"(\d+)(GB|Gi)", size).groups()
    return int(number) * GIGA[unit]


def workload(name: str) -> dict[str, Any]:
    (found,) = [m for m in overlay("monitoring") if "template" in m.get("spec", {}) and m["metadata"]["name"] == name]
    return found


def volumes(manifest: Manifest) -> dict[str, dict[str, Any]]:
    return {volume["name"]: volume for volume in manifest["spec"]["template"]["spec"].get("volumes", [])}


def mount(name: str, into: pathlib.Path) -> set[str]:
    """Writes what the pod's volume `config` holds; the paths of secrets, which are not written."""
    secrets = set()
    for source in volumes(workload(name))["config"]["projected"]["sources"]:
        if "secret" in source:
            assert source["secret"]["optional"], "without the Secret the pod would not start"
            secrets |= {item["path"] for item in source["secret"]["items"]}
            continue
        held = one(overlay("monitoring"), "ConfigMap", source["configMap"]["name"])["data"]
        paths = {item["key"]: item["path"] for item in source["configMap"].get("items", [])} or {key: key for key in held}
        assert set(paths) == set(held), set(paths) ^ set(held)
        for key, path in paths.items():
            (into / path).parent.mkdir(parents=True, exist_ok=True)
            (into / path).write_text(held[key])
    return secrets


def test_no_volume_is_waited_for(tmp_path: pathlib.Path, counted) -> None:
    """No claim that a cluster without a storage class leaves Pending; data stays below its limit; `volume` brings the claim"""
    for name in ("prometheus", "alertmanager", "kube-state-metrics"):
        assert "volumeClaimTemplates" not in workload(name)["spec"], name
        for volume in volumes(workload(name)).values():
            assert set(volume) - {"name"} <= {"emptyDir", "projected"}, volume
    prometheus = workload("prometheus")
    (container,) = prometheus["spec"]["template"]["spec"]["containers"]
    size = next(arg.partition("=")[2] for arg in container["args"] if "retention.size" in arg)
    assert giga(size) < 0.9 * giga(volumes(prometheus)["data"]["emptyDir"]["sizeLimit"])
    # As long as any panel looks back.
    kept_days = next(int(re.search(r"=(\d+)d$", arg)[1]) for arg in container["args"] if "retention.time" in arg)
    panels = "".join(path.read_text() for path in (MONITORING / "dashboards").glob("*.json"))
    assert kept_days > max(int(days) for days in re.findall(r"\[(\d+)d[\]:]", panels)) >= 30

    copy = tmp_path / "infra"
    for part in ("kustomize/monitoring", "monitoring"):
        shutil.copytree(INFRA / part, copy / part)
    file = copy / "kustomize/monitoring/kustomization.yaml"
    file.write_text(file.read_text().replace("# - volume", "- volume"))
    built = run(find_tool("kubectl"), "kustomize", copy / "kustomize/monitoring")
    assert built.returncode == 0, built.stderr
    manifests = parsed(built.stdout)
    kept = one(manifests, "StatefulSet", "prometheus")
    (claim,) = kept["spec"]["volumeClaimTemplates"]
    assert claim["metadata"]["name"] == "data"
    assert giga(size) < 0.9 * giga(claim["spec"]["resources"]["requests"]["storage"])
    assert set(volumes(kept)) == {"config"}
    counted("manifests", validate({"volume": manifests}))


def test_what_is_mounted_is_taken(tmp_path: pathlib.Path, counted) -> None:
    """promtool and amtool take what the pods find in their folders: every rule file, the template, a place for every key"""
    mount("prometheus", tmp_path / "p")
    (container,) = workload("prometheus")["spec"]["template"]["spec"]["containers"]
    assert [variable["name"] for variable in container["env"]] == ["CLUSTER"], "its label `cluster` would be empty"
    config = yaml.safe_load((tmp_path / "p/prometheus.yml").read_text())
    assert config == load(MONITORING / "prometheus/prometheus.yml")
    plain = with_file_discovery(config)
    for job in plain["scrape_configs"]:
        for key in ("tls_config", "authorization"):
            job.pop(key, None)
    (tmp_path / "p/prometheus.yml").write_text(yaml.safe_dump(plain))
    checked = run(find_tool("promtool"), "check", "config", tmp_path / "p/prometheus.yml")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert checked.stdout.count("rules found") == len(list(RULES.glob("*.yml"))), checked.stdout

    secrets = mount("alertmanager", tmp_path / "a")
    config = (tmp_path / "a/alertmanager.yml").read_text()
    (tmp_path / "a/alertmanager.yml").write_text(known_to_amtool(config))
    checked = run(find_tool("amtool"), "check-config", tmp_path / "a/alertmanager.yml")
    assert checked.returncode == 0 and "1 templates" in checked.stdout, checked.stdout + checked.stderr
    named = set(re.findall(r"/etc/alertmanager/(secrets/[\w-]+)", config))
    assert secrets == named
    document = (INFRA.parent / "docs/monitoring.md").read_text()
    assert all(f"--from-file={path.removeprefix('secrets/')}" in document for path in named)
    counted("rule files", len(list(RULES.glob("*.yml"))))


def endpoint(service: Manifest, port: dict[str, Any]) -> dict[str, str]:
    """What discovery by endpoints says of one port of a Service."""
    labels = service["metadata"].get("labels", {})
    safe = {re.sub(r"[^a-zA-Z0-9_]", "_", key): value for key, value in labels.items()}
    return {f"__meta_kubernetes_service_label_{key}": value for key, value in safe.items()} | {
        "__address__": f"10.1.1.1:{port['port']}",
        "__meta_kubernetes_service_name": service["metadata"]["name"],
        "__meta_kubernetes_endpoint_port_name": port["name"],
    }


def test_services_are_found(counted) -> None:
    """Prometheus finds Alertmanager, kube-state-metrics and itself by the names of the Services here, and may look for them"""
    config = load(MONITORING / "prometheus/prometheus.yml")
    known = {name: job["relabel_configs"] for name, job in jobs(config).items()}
    known["alerting"] = config["alerting"]["alertmanagers"][0]["relabel_configs"]
    found = {
        (way, service["metadata"]["name"])
        for service in of_kind(overlay("monitoring"), "Service")
        for port in service["spec"]["ports"]
        for way in ("alerting", "kube-state-metrics", "monitoring")
        if relabel(endpoint(service, port), known[way]) is not None
    }
    assert found == {
        ("alerting", "alertmanager"),
        ("kube-state-metrics", "kube-state-metrics"),
        ("monitoring", "alertmanager"),
        ("monitoring", "prometheus"),
    }
    roles = {role["role"] for job in config["scrape_configs"] for role in job.get("kubernetes_sd_configs", [])}
    needed = {"pod": {"pods"}, "node": {"nodes"}, "endpoints": {"endpoints", "services", "pods"}}
    rules = one(overlay("monitoring"), "ClusterRole", "prometheus-reader")["rules"]
    granted = {name for rule in rules if "list" in rule["verbs"] for name in rule["resources"]}
    assert set().union(*(needed[role] for role in roles)) == granted
    counted("ways", len(found))


def test_kube_state_metrics_tells_what_is_asked(counted) -> None:
    """kube-state-metrics lists the kinds whose metrics the rules use, and may list no other"""
    used = {f"{name.split('_')[1]}s" for name in load(MONITORING / "kube-metrics.yml") if name.startswith("kube_")}
    manifests = overlay("monitoring")
    deployment = one(manifests, "Deployment", "kube-state-metrics")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    (resources,) = container["args"]
    assert set(resources.removeprefix("--resources=").split(",")) == used
    rules = one(manifests, "ClusterRole", "kube-state-metrics-reader")["rules"]
    assert {name for rule in rules for name in rule["resources"]} == used
    assert {verb for rule in rules for verb in rule["verbs"]} == {"list", "watch"}
    counted("manifests", validate({"monitoring": manifests}))


def test_what_kubeadm_lacks_is_said() -> None:
    """The page says what a kubeadm cluster needs first: kubelets with certificates of its CA, metrics-server for the autoscalers"""
    document = (INFRA.parent / "docs/monitoring.md").read_text()
    section = document.split("\n## On a plain cluster\n")[1].split("\n## ")[0]
    for needed in ("serverTLSBootstrap: true", "kubectl certificate approve", "insecure_skip_verify", "metrics-server", "`components: [volume]`"):
        assert needed in section, needed
    assert (KUSTOMIZE / "monitoring/volume/kustomization.yaml").exists()
