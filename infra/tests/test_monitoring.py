"""Prometheus rules and config, Alertmanager's routes, and the files beside them: checked by their own tools."""

from __future__ import annotations

import collections
import pathlib
import re
import sys
from typing import Any

import pytest
import yaml
from conftest import INFRA, ROOT, find_kit, find_tool, run

MONITORING = INFRA / "monitoring"
RULES = MONITORING / "rules"
TESTS = MONITORING / "rules-tests"
RBAC = sorted((MONITORING / "prometheus").glob("rbac*.yaml"))
ALERTMANAGER = MONITORING / "alertmanager/alertmanager.yml"
SECRET = re.compile(
    r"(password|secret|token|api_key|routing_key|service_key|api_url|bearer)\b", re.IGNORECASE
)


def load(path: pathlib.Path) -> Any:
    return yaml.safe_load(path.read_text())


def alerts() -> dict[str, dict[str, Any]]:
    rules = [
        rule
        for path in sorted(RULES.glob("*.yml"))
        for group in load(path)["groups"]
        for rule in group["rules"]
    ]
    return {rule["alert"]: rule for rule in rules if "alert" in rule}


def anchors(path: pathlib.Path) -> set[str]:
    """The anchors that a Markdown file's headings get on the usual forges."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {
        re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-") for heading in headings
    }


@pytest.mark.parametrize("name", ["recording", "edge", "slo", "app", "platform"])
def test_rules(name: str, counted) -> None:
    """promtool checks every rule file, lint included, and its unit tests pass"""
    promtool = find_tool("promtool")
    path = RULES / f"{name}.yml"
    assert (load(path) or {}).get("groups"), f"{path} has no groups"
    checked = run(promtool, "check", "rules", "--lint=all", "--lint-fatal", path)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    counted("rules", sum(len(group["rules"]) for group in load(path)["groups"]))
    if name != "recording":  # recording rules are read by every other file's tests
        files = [TESTS / f"{name}.yml", *sorted(TESTS.glob(f"{name}-*.yml"))]
        tested = run(promtool, "test", "rules", *files)
        assert tested.returncode == 0, tested.stdout + tested.stderr
        counted("cases", sum(len(load(file)["tests"]) for file in files))


def seen(check: dict[str, Any]) -> set[str]:
    """The alerts that one case sees firing: the one asked for, or of several those that it expects by name."""
    asked = re.search(r'alertname=(~?)"([\w|]+)"', check["expr"])
    if not asked or not check["exp_samples"]:
        return set()
    expected = {name for sample in check["exp_samples"] for name in re.findall(r'alertname="(\w+)"', sample["labels"])}
    return set(asked[2].split("|")) & expected if asked[1] else {asked[2]}


def test_every_alert_is_unit_tested(counted) -> None:
    """Every alert has a unit test in which it fires and one in which it has cleared"""
    fires: dict[str, list[str]] = collections.defaultdict(list)
    silent: set[str] = set()
    for path in sorted(TESTS.glob("*.yml")):
        for case in load(path)["tests"]:
            for check in case.get("promql_expr_test", []):
                for name in seen(check):
                    fires[name].append(case["name"])
            silent |= {
                check["alertname"]
                for check in case.get("alert_rule_test", [])
                if not check["exp_alerts"]
            }
    known = set(alerts())
    assert (
        set(fires) == known
    ), f"not seen firing: {known - set(fires)}; unknown: {set(fires) - known}"
    # A dead man's switch that could clear would be none.
    assert silent == known - {"Watchdog"}, known ^ silent
    counted("alerts", len(known))


def test_every_alert_helps(counted) -> None:
    """Every alert has a severity, a summary that names what, a description and a runbook section that exists"""
    for name, rule in alerts().items():
        notes = rule["annotations"]
        assert rule["labels"]["severity"] in {"critical", "warning", "none"}, name
        assert {"summary", "description", "runbook_url"} <= set(notes), name
        assert len(notes["description"]) > 30, f"{name} says too little"
        document, _, anchor = notes["runbook_url"].partition("#")
        assert anchor in anchors(ROOT / document), f"{name}: no section {anchor} in {document}"
    counted("alerts", len(alerts()))


def jobs(config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {job["job_name"]: job for job in config["scrape_configs"]}


def with_file_discovery(node: Any) -> Any:
    """A copy in which files stand in for Kubernetes discovery, which Debian's promtool is built without."""
    if isinstance(node, list):
        return [with_file_discovery(item) for item in node]
    if not isinstance(node, dict):
        return node
    copy = {
        key: with_file_discovery(value)
        for key, value in node.items()
        if key != "kubernetes_sd_configs"
    }
    if "kubernetes_sd_configs" in node:
        roles = {role["role"] for role in node["kubernetes_sd_configs"]}
        assert roles <= {"pod", "node", "endpoints", "service", "ingress", "endpointslice"}, roles
        copy["file_sd_configs"] = [{"files": ["none.yml"]}]
    return copy


def test_prometheus_config(tmp_path: pathlib.Path, counted) -> None:
    """promtool accepts the Prometheus config; pods give their port, kubelets are asked with TLS and a token"""
    config = load(MONITORING / "prometheus/prometheus.yml")
    copy = with_file_discovery(config)
    for job in copy["scrape_configs"]:
        if "tls_config" in job:  # the files exist in a pod only
            for section, key in (("tls_config", "ca_file"), ("authorization", "credentials_file")):
                assert job[section][key].startswith(
                    "/var/run/secrets/kubernetes.io/serviceaccount/"
                )
                job[section][key] = str(tmp_path / key)
                (tmp_path / key).write_text("")
    (tmp_path / "rules").symlink_to(RULES)
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(copy))
    checked = run(find_tool("promtool"), "check", "config", tmp_path / "prometheus.yml")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert checked.stdout.count("rules found") == len(list(RULES.glob("*.yml"))), checked.stdout

    assert (config["global"]["scrape_interval"], config["global"]["evaluation_interval"]) == (
        "15s",
        "15s",
    )
    for name in ("thalweg", "fastapi"):
        sources = {
            source
            for rule in jobs(config)[name]["relabel_configs"]
            for source in rule["source_labels"]
        }
        for wanted in ("scrape", "path", "port", "scheme"):
            assert (
                f"__meta_kubernetes_pod_annotation_prometheus_io_{wanted}" in sources
            ), f"{name}: {wanted}"
    for name in ("kubernetes-nodes", "kubernetes-cadvisor"):
        job = jobs(config)[name]
        assert (
            job["scheme"] == "https"
            and job["tls_config"]["ca_file"]
            and job["authorization"]["credentials_file"]
        )
        assert any(rule["action"] == "labelmap" for rule in job["relabel_configs"]), name
    # Labels that the edge itself uses must not be target labels of its job: they would become exported_….
    for name in ("thalweg", "edges-on-hosts"):
        targets = {rule.get("target_label") for rule in jobs(config)[name]["relabel_configs"]}
        assert not targets & {"cloud", "region", "pool", "route", "endpoint"}, targets
    counted("scrape jobs", len(jobs(config)))


@pytest.mark.parametrize(
    "address, port, expected",
    [
        ("10.0.0.1", "8000", "10.0.0.1:8000"),
        ("10.0.0.1:80", "9900", "10.0.0.1:9900"),
        ("[2001:db8::1]:80", "9900", "[2001:db8::1]:9900"),
    ],
)
def test_port_annotation(address: str, port: str, expected: str) -> None:
    """The port annotation replaces the port of any address, IPv6 too"""
    for name in ("thalweg", "fastapi"):
        rules = jobs(load(MONITORING / "prometheus/prometheus.yml"))[name]["relabel_configs"]
        rule = next(rule for rule in rules if rule.get("target_label") == "__address__")
        # Prometheus joins sources by ";" and anchors the expression.
        found = re.fullmatch(rule["regex"], f"{address};{port}")
        assert found and found.expand(rule["replacement"].replace("$", "\\")) == expected


ROUTES = [
    ("alertname=RegionDown severity=critical cloud=aws region=us-east-1", "pager,chat"),
    ("alertname=HighErrorRate severity=critical route=api", "pager,chat"),
    ("alertname=TooFewEdges severity=critical cloud=aws region=us-east-1", "pager,chat"),
    ("alertname=EntryUnreachable severity=critical instance=https://api.example.com/", "pager,chat"),
    ("alertname=EdgeDown severity=warning instance=10.0.0.1:9900", "chat"),
    ("alertname=EndpointDown severity=warning cloud=gcp region=europe-west1", "chat"),
    ("alertname=PodCrashLooping severity=warning namespace=prod", "chat"),
    ("alertname=Watchdog severity=none", "dead-mans-switch"),
    ("alertname=Unheard", "chat"),
]


def known_to_amtool(config: str) -> str:
    """Debian's amtool (0.25) does not know a webhook's `url_file` (0.26)."""
    return re.sub(r"\burl_file: \S+", "url: https://watchdog.example.com/", config)


def test_alertmanager_routes(tmp_path: pathlib.Path, counted) -> None:
    """Critical pages, warnings are chat, the Watchdog keeps its own way"""
    amtool = find_tool("amtool")
    config = tmp_path / "alertmanager.yml"
    config.write_text(known_to_amtool(ALERTMANAGER.read_text()))
    (tmp_path / "templates").symlink_to(ALERTMANAGER.parent / "templates")
    checked = run(amtool, "check-config", config)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "1 templates" in checked.stdout, checked.stdout
    for labels, receivers in ROUTES:
        options = (
            "config",
            "routes",
            "test",
            f"--config.file={config}",
            f"--verify.receivers={receivers}",
        )
        asked = run(amtool, *options, *labels.split())
        assert asked.returncode == 0, f"{labels}: {asked.stdout}{asked.stderr}"
    # Each real alert reaches someone.
    for name, rule in alerts().items():
        asked = run(
            amtool,
            "config",
            "routes",
            "test",
            f"--config.file={config}",
            f"alertname={name}",
            f"severity={rule['labels']['severity']}",
        )
        expected = {"critical": "pager,chat", "warning": "chat", "none": "dead-mans-switch"}[
            rule["labels"]["severity"]
        ]
        assert asked.stdout.strip() == expected, f"{name} goes to {asked.stdout}"
    counted("label sets", len(ROUTES) + len(alerts()))


def test_each_cluster_speaks_for_itself() -> None:
    """Clusters differ by name and watchdog: the name comes from the environment, no message or silence is of two"""
    config = load(MONITORING / "prometheus/prometheus.yml")
    assert config["global"]["external_labels"] == {"cluster": "${CLUSTER}"}
    told = load(ALERTMANAGER)
    route = told["route"]
    groups = [each["group_by"] for each in (route, *route["routes"]) if "group_by" in each]
    # A region is lost for all clusters alike: that is one page, and the only thing that they tell together.
    assert groups.count(["cloud", "region"]) == 1 and len(groups) == 3, groups
    assert all("cluster" in group for group in groups if group != ["cloud", "region"]), groups
    for rule in told["inhibit_rules"]:
        assert rule.get("equal"), f"{rule['source_matchers']} would silence another cluster"
    (hook,) = next(each for each in told["receivers"] if "webhook_configs" in each)["webhook_configs"]
    assert "url" not in hook and hook["url_file"].startswith("/etc/alertmanager/secrets/")
    document = (ROOT / "docs/monitoring.md").read_text()
    assert all(word in document for word in ("`CLUSTER`", "externalLabels.cluster", "expand-external-labels"))


def test_alertmanager_names_real_alerts(counted) -> None:
    """Every alert that a route or an inhibition names exists; a region's end silences its endpoints"""
    config = load(ALERTMANAGER)
    text = yaml.safe_dump([config["inhibit_rules"], config["route"]])
    named = {
        name for group in re.findall(r'alertname=~?"([^"]+)"', text) for name in group.split("|")
    }
    assert named and named <= set(alerts()), named - set(alerts())
    region = next(
        rule for rule in config["inhibit_rules"] if "RegionDown" in rule["source_matchers"][0]
    )
    assert "EndpointDown" in region["target_matchers"][0] and region["equal"] == ["cloud", "region"]
    counted("names", len(named))


def literal_secrets(node: Any, path: str = "") -> list[str]:
    if isinstance(node, dict):
        return [
            hit for key, value in node.items() for hit in literal_secrets(value, f"{path}.{key}")
        ]
    if isinstance(node, list):
        return [hit for item in node for hit in literal_secrets(item, path)]
    key = path.rpartition(".")[2]
    return (
        [path] if isinstance(node, str) and SECRET.search(key) and not key.endswith("_file") else []
    )


def test_no_literal_secrets(counted) -> None:
    """No YAML file of monitoring holds a secret: each is read from a file"""
    assert literal_secrets({"a": [{"api_url": "x"}]}) and not literal_secrets({"api_url_file": "x"})
    files = [*MONITORING.rglob("*.yml"), *MONITORING.rglob("*.yaml")]
    for path in files:
        for document in yaml.safe_load_all(path.read_text()):
            assert not literal_secrets(document), f"{path}: {literal_secrets(document)}"
    counted("files", len(files))


def test_prometheus_may_only_read(counted) -> None:
    """Prometheus may find pods and read metrics, no more: no secrets, no writing, no wildcard"""
    manifests = [each for path in RBAC for each in yaml.safe_load_all(path.read_text())]
    roles = [manifest for manifest in manifests if manifest["kind"] in {"Role", "ClusterRole"}]
    granted = {
        (verb, resource)
        for role in roles
        for rule in role["rules"]
        for verb in rule["verbs"]
        for resource in rule["resources"]
    }
    assert {kind for kind in (role["kind"] for role in roles)} == {"Role", "ClusterRole"}
    assert {verb for verb, _ in granted} <= {"get", "list", "watch"}, granted
    assert {resource for _, resource in granted} == {
        "nodes",
        "pods",
        "services",
        "endpoints",
        "nodes/metrics",
    }
    bound = {
        manifest["roleRef"]["name"]
        for manifest in manifests
        if manifest["kind"].endswith("Binding")
    }
    assert bound == {role["metadata"]["name"] for role in roles}
    counted("grants", len(granted))


def test_rbac_is_valid(counted) -> None:
    """The RBAC manifests are strictly valid Kubernetes objects, and need no namespace but the one that the page makes"""
    validated = run(find_kit() / "validate-k8s", "-k", "1.34", *RBAC)
    assert validated.returncode == 0, validated.stdout + validated.stderr
    manifests = [(path, each) for path in RBAC for each in yaml.safe_load_all(path.read_text())]
    document = (ROOT / "docs/monitoring.md").read_text()
    made = set(re.findall(r"^kubectl create namespace (\S+)", document, re.MULTILINE))
    named = {each["metadata"].get("namespace") for _, each in manifests} - {None}
    assert named and named <= made, named - made
    # What names none goes where `-n` says, so it must say so.
    for path, each in manifests:
        if each["kind"] in {"Role", "RoleBinding"}:
            for namespace in ("apps", "edges", "monitoring"):
                assert f"kubectl -n {namespace} apply -f {path.relative_to(ROOT)}" in document, path
    counted("manifests", len(manifests))


def test_yaml_is_tidy() -> None:
    """Every YAML file of monitoring is one that yamllint has nothing against"""
    linted = run(find_tool("yamllint"), "--strict", "-d", YAMLLINT, MONITORING)
    assert linted.returncode == 0, linted.stdout


YAMLLINT = "{extends: default, rules: {line-length: disable, document-start: disable, truthy: {allowed-values: ['true', 'false', 'on', 'off']}, comments: {min-spaces-from-content: 1}, braces: {max-spaces-inside: 1}}}"


def test_message_template() -> None:
    """Messages say what happened and where to read on: the templates that receivers name, rendered"""
    amtool = find_tool("amtool")
    template = ALERTMANAGER.parent / "templates/thalweg.tmpl"
    named = set(re.findall(r'template "([\w.]+)"', ALERTMANAGER.read_text()))
    assert named == {"thalweg.title", "thalweg.text"}
    for name, wanted in (("thalweg.title", "["), ("thalweg.text", "\n")):
        options = (f"--template.glob={template}", f'--template.text={{{{ template "{name}" . }}}}')
        rendered = run(amtool, "template", "render", *options)
        assert rendered.returncode == 0 and wanted in rendered.stdout, (
            rendered.stdout + rendered.stderr
        )


def test_rules_for_the_operator(tmp_path: pathlib.Path, counted) -> None:
    """The PrometheusRules hold every rule file's groups, are strictly valid, and are what their source writes"""
    checked = run(sys.executable, MONITORING / "operator/build.py", "--check")
    assert checked.returncode == 0 and checked.stdout.strip() == "current", checked.stdout + checked.stderr
    built = run(find_tool("kubectl"), "kustomize", MONITORING / "operator")
    assert built.returncode == 0, built.stderr
    objects = {each["metadata"]["name"]: each for each in yaml.safe_load_all(built.stdout)}
    assert set(objects) == {f"thalweg-{path.stem}" for path in RULES.glob("*.yml")}
    for path in RULES.glob("*.yml"):
        assert objects[f"thalweg-{path.stem}"]["spec"] == load(path), path.name
    (tmp_path / "rules.yaml").write_text(built.stdout)
    validated = run(find_kit() / "validate-k8s", "-k", "1.34", tmp_path / "rules.yaml")
    assert validated.returncode == 0, validated.stdout + validated.stderr
    counted("objects", len(objects))
