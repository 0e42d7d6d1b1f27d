"""docs/clouds.md takes a newcomer there: its commands run, what it installs is valid."""

from __future__ import annotations

import os
import re
import sys

import test_ways
import yaml
from conftest import INFRA, ROOT, find_tool, run
from edge import need_root
from test_runbook import (
    blocks,
    calls,
    edge_lines_parse,
    flags,
    kubectl_lines_parse,
    namespaces_are_those_of_gitops,
    of,
    value_after,
)

PAGE = ROOT / "docs" / "clouds.md"
HELM_FLAGS = {
    "--values",
    "--install",
    "--kube-context",
    "--namespace",
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


def own_values() -> dict[str, dict]:
    """Chart → what the page has a newcomer write into the file of their own."""
    written = re.findall(r"^cat >my-(\S+)\.yaml <<'EOF'\n(.*?)^EOF$", PAGE.read_text(), re.M | re.DOTALL)
    return {chart: yaml.safe_load(text) for chart, text in written}


def test_what_is_rendered_is_for_the_namespace_it_is_applied_to(counted) -> None:
    """what `helm template` writes is taken by the kubectl line after it, and the namespace is there by then"""
    import k8s

    made, namespaces = [], {}
    for name, *words in calls(PAGE):
        if name == "kubectl" and words[4] == "create":
            made.append((words[1], words[6]))
        if name == "helm" and words[0] == "template":
            namespaces[words[1]] = value_after(tuple(words), "--namespace") or "default"
        if name == "kubectl" and words[4] == "apply":
            chart = words[words.index("--filename") + 1].removesuffix(".yaml")
            for manifests in k8s.templates(chart, own_values()[chart], namespace=namespaces[chart]).values():
                for manifest in k8s.parsed(manifests) if "kind:" in manifests else ():
                    assert manifest["metadata"].get("namespace", words[3]) == words[3], chart
            assert (words[1], words[3]) in made
        if name == "helm" and words[0] == "upgrade":
            assert (value_after(tuple(words), "--kube-context"), value_after(tuple(words), "--namespace")) in made
    assert set(namespaces) == set(k8s.CHARTS)
    counted("namespaces", len(made))


def test_what_a_cluster_must_have_is_said() -> None:
    """whatever a stage switches on and a cluster may lack is named, with its switch, and the label for EKS"""
    import k8s

    before = PAGE.read_text().split("## 1.")[0]
    wanted = {"externalSecret", "serviceMonitor", "vpa", "certificate"}
    for chart in k8s.CHARTS:
        for stage in k8s.STAGES:
            values = k8s.values_of(chart, stage).items()
            on = {key for key, value in values if isinstance(value, dict) and value.get("enabled") is True}
            assert on <= wanted, on
    assert all(f"`{switch}.enabled`" in before for switch in wanted)
    assert "metrics-server" in before and "AWS Load Balancer Controller" in before
    labels = [words for words in of("kubectl", PAGE) if words[4] == "label"]
    level = "pod-security.kubernetes.io/enforce="
    assert [words[5:] for words in labels] == [
        ("namespace", "apps", f"{level}restricted"),
        ("namespace", "edges", f"{level}restricted"),
        ("namespace", "gateways", f"{level}baseline"),
        ("namespace", "edges", "=".join(*test_ways.GATE.items())),
    ]


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
        chart = next(word for word in words if word.startswith("infra/helm/")).split("/")[-1]
        assert files.pop() == f"my-{chart}.yaml", "yours wins"
        assert files and all((ROOT / file).exists() for file in files), files
    text = PAGE.read_text()
    clouds, stages = (
        [name for name in names if f"`{name}`" in text] for names in (k8s.CLOUDS, k8s.STAGES)
    )
    assert len(clouds) == len(stages) == 3
    groups = {
        f"{chart}.{cloud}.{stage}": k8s.render(chart, k8s.merge(k8s.values_of(chart, cloud, stage), own_values()[chart]))
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


# In one namespace the node with the announced address, in the other a client of it.
NODE_AND_CLIENT = """
set -eu
trap 'ip netns delete "$NODE"; ip netns delete "$CLIENT"' EXIT
ip netns add "$NODE"; ip netns add "$CLIENT"
ip -n "$NODE" link add up0 type veth peer name up0 netns "$CLIENT"
for space in "$NODE" "$CLIENT"; do ip -n "$space" link set lo up; ip -n "$space" link set up0 up; done
ip -n "$NODE" address add 198.51.100.1/24 dev up0
ip -n "$NODE" address add 192.0.2.80/32 dev lo
ip -n "$CLIENT" address add 198.51.100.2/24 dev up0
ip -n "$CLIENT" route add 192.0.2.80 via 198.51.100.1
ip netns exec "$NODE" bash -euc "$RULES"
ip netns exec "$NODE" bash -euc "$RULES"
exec 3< <(ip netns exec "$NODE" "$PYTHON" -c "$LISTEN")
read -r listening <&3
ip netns exec "$CLIENT" "$PYTHON" -c 'import socket; socket.create_connection(("192.0.2.80", 443), 5)'
read -r client <&3
echo "$client"
"""
LISTEN = """
import socket
listener = socket.create_server(("0.0.0.0", 8443))
listener.settimeout(10)
print("listening", flush=True)
print(listener.accept()[1][0], flush=True)
"""


def test_a_node_redirects_the_port_that_no_pod_can_bind() -> None:
    """its rules, really loaded: 443 of the announced address arrives at 8443, with the client's own address"""
    need_root()
    for tool in ("nft", "ip"):
        find_tool(tool)
    (rules,) = [block for block in blocks(PAGE) if block.startswith("nft ")]
    names = {name: f"thalweg-{os.getpid()}-{name.lower()}" for name in ("NODE", "CLIENT")}
    done = run("bash", "-c", NODE_AND_CLIENT, RULES=rules, LISTEN=LISTEN, PYTHON=sys.executable, **names)
    assert done.returncode == 0 and done.stdout == "198.51.100.2\n", done.stdout + done.stderr
