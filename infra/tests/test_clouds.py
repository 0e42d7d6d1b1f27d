"""docs/clouds.md takes a newcomer there: its commands run, what it installs is valid."""

from __future__ import annotations

import re

from conftest import INFRA, ROOT
from test_runbook import (
    edge_lines_parse,
    flags,
    kubectl_lines_parse,
    namespaces_are_those_of_gitops,
    of,
)

PAGE = ROOT / "docs" / "clouds.md"
HELM_FLAGS = {
    "--values",
    "--install",
    "--kube-context",
    "--namespace",
    "--create-namespace",
    "--wait",
}


def test_commands_run(counted) -> None:
    """every block runs, and every command in it parses with the real one where that is here"""
    number = edge_lines_parse(PAGE) + kubectl_lines_parse(PAGE)
    for words in of("helm", PAGE):
        assert words[0] in ("lint", "template", "upgrade", "test")
        assert set(flags(words)) <= HELM_FLAGS | {"--timeout"}, words
    for words in of("docker", PAGE):
        named = words[words.index("--file") + 1] if "--file" in words else "."
        assert (ROOT / named).exists(), words
    counted("commands", number + len(of("helm", PAGE)) + len(of("docker", PAGE)))


def test_namespaces_are_those_of_gitops(counted) -> None:
    """each release is installed and looked for where GitOps puts it"""
    counted("lines", namespaces_are_those_of_gitops(PAGE))


def test_what_is_installed_is_valid(counted) -> None:
    """what its helm lines render, for each cloud and stage it names, is strictly valid"""
    import k8s

    named = [words for words in of("helm", PAGE) if words[0] in ("template", "upgrade")]
    charts = {
        word.split("/")[-1]
        for words in named
        for word in words
        if re.match(r"infra/helm/[a-z-]+$", word)
    }
    assert charts == set(k8s.CHARTS)
    for words in named:
        files = [words[at + 1] for at, word in enumerate(words) if word == "--values"]
        assert files and all((ROOT / file).exists() for file in files), files
    text = PAGE.read_text()
    clouds, stages = (
        [name for name in names if f"`{name}`" in text] for names in (k8s.CLOUDS, k8s.STAGES)
    )
    assert len(clouds) == len(stages) == 3
    groups = {
        f"{chart}.{cloud}.{stage}": k8s.render(chart, k8s.values_of(chart, cloud, stage))
        for chart in sorted(charts)
        for cloud in clouds
        for stage in stages
    }
    counted("manifests", k8s.validate(groups))


def test_what_it_says_of_the_admin_port_is_so(counted) -> None:
    """the Service that it names has the admin port, inside the cluster, and no other Service has it"""
    import k8s

    named = re.findall(r"`(thalweg-edge-\w+)`", PAGE.read_text().split("## 5.")[1])
    assert named, "the page names no Service of the admin port"
    for cloud in k8s.CLOUDS:
        services = k8s.of_kind(k8s.rendered()[f"thalweg-edge.{cloud}.prod"], "Service")
        having = {
            service["metadata"]["name"]: service["spec"]["type"]
            for service in services
            if any(9900 in (port["port"], port["targetPort"]) for port in service["spec"]["ports"])
        }
        assert having == dict.fromkeys(named, "ClusterIP"), having
    counted("clouds", len(k8s.CLOUDS))


def test_values_named_exist(counted) -> None:
    """every value in its table is one that a chart has"""
    keys = "".join(
        (INFRA / "helm" / chart / "values.yaml").read_text()
        for chart in ("fastapi-app", "thalweg-edge")
    )
    table = PAGE.read_text().split("## 2.")[1].split("## 3.")[0]
    named = {
        name
        for row in re.findall(r"^\| (`.*?) \|", table, re.M)
        for name in re.findall(r"`([a-zA-Z.]+)`", row)
    }
    for name in named:
        assert all(re.search(rf"\b{part}:", keys) for part in name.split(".")), name
    counted("values", len(named))
