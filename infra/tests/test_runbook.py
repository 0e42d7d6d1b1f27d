"""Every step of the runbook can be typed: its commands parse, its names exist.

Each shell block is run by bash with stand-ins on PATH that only record how they were called; what
was recorded is then held against the real command lines.
"""

from __future__ import annotations

import functools
import os
import pathlib
import re
import shutil
import tempfile
import textwrap

import test_gitops
import yaml
from conftest import ROOT, run
from edge import find_edge

RUNBOOK = ROOT / "RUNBOOK.md"
RECORDED = tuple("thalweg kubectl helm flux nft systemctl curl openssl apt-get sleep docker birdc".split())
SCRIPTS = ("infra/gitops/drill.sh", "infra/packaging/build-deb.sh")
SITUATIONS = (
    "Region loss",
    "Failback",
    "Rollback of a release",
    "Certificate",
    "Rejected reload",
    "Cold region",
    "A store is lost",
    "Drill: lose a region",
    "Checker suspected",
)
ORDERS = {"drain", "evacuate", "dial", "weight", "freeze"}
HELM = {
    "history": set(),
    "rollback": {"--wait", "--timeout"},
    "upgrade": {"--reuse-values", "--values", "--install", "--set"},
}
HELM_GLOBAL = {"--kube-context", "--namespace"}
# Its input is read first, or a writer before it would break its pipe.
STAND_IN = """#!/bin/bash
cat >/dev/null
printf -v line '%s\\x1f' "${0##*/}" "$@"
# One write: calls in a pipeline are told at the same time.
printf '%s\\n' "$line" >>"$RECORD"
[[ " $* " == *" -o name "* ]] && echo pod/one || echo thalweg_requests_total thalweg_probes_total
"""


def blocks(document: pathlib.Path) -> list[str]:
    found = re.findall(r"^( *)```sh\n(.*?)^\1```", document.read_text(), re.MULTILINE | re.DOTALL)
    return [text for _, text in found]


@functools.cache
def calls(document: pathlib.Path) -> tuple[tuple[str, ...], ...]:
    """How the stand-ins were called, over all blocks; each block must run to its end."""
    with tempfile.TemporaryDirectory() as scratch:
        record = pathlib.Path(scratch) / "record"
        record.touch()
        for name in (*RECORDED, *(pathlib.Path(script).name for script in SCRIPTS)):
            (pathlib.Path(scratch) / name).write_text(STAND_IN)
            (pathlib.Path(scratch) / name).chmod(0o755)
        for block in blocks(document):
            short = block.replace("seq 600", "seq 2")
            for script in SCRIPTS:
                short = short.replace(script, pathlib.Path(script).name)
            path = f"{scratch}:{os.environ['PATH']}"
            script = f"set -euo pipefail\n{short}\nwait\n"
            done = run(
                "bash",
                "-c",
                script,
                cwd=pathlib.Path(scratch),
                stdin="",
                PATH=path,
                RECORD=str(record),
            )
            assert done.returncode == 0, f"{block}\n{done.stderr}"
        return tuple(tuple(line.split("\x1f")[:-1]) for line in record.read_text().split("\n")[:-1])


def of(name: str, document: pathlib.Path = RUNBOOK) -> list[tuple[str, ...]]:
    found = [call[1:] for call in calls(document) if call[0] == name]
    assert found, f"{document.name} never calls {name}"
    return found


def flags(words: tuple[str, ...]) -> list[str]:
    """Flags of a call up to `--`, without their values."""
    own = words[: words.index("--")] if "--" in words else words
    return [word.split("=")[0] for word in own if re.match(r"--?[a-z]", word)]


def edge_lines_parse(document: pathlib.Path) -> int:
    """Fails unless the real binary takes every `thalweg …` line of the document; how many."""
    edge, asked = find_edge(), of("thalweg", document)
    for words in asked:
        known = run(edge, words[0], "--help")
        assert known.returncode == 0, f"no command {words[0]}"
        told = list(words)
        if "--admin" in known.stdout:
            # Nobody listens there: it is parsed, and asks no edge that happens to run here.
            told = [word for word in words if word != "--admin" and not word.startswith("http://")]
            told += ["--admin", "http://127.0.0.1:1"]
        done = run(edge, *told)
        assert "--help" not in done.stderr, f"thalweg {' '.join(words)}\n{done.stderr}"
    return len(asked)


def kubectl_lines_parse(document: pathlib.Path) -> int:
    """Fails unless every kubectl line has context, namespace, and verb and flags that exist."""
    asked = of("kubectl", document)
    for words in asked:
        assert words[:1] == ("--context",) and words[2:3] == ("--namespace",), words
        if shutil.which("kubectl"):
            known = kubectl_help(*words[4 : 6 if words[4] == "rollout" else 5])
            missing = [flag for flag in flags(words[4:]) if not re.search(rf"{flag}[=,]", known)]
            assert not missing, f"kubectl {' '.join(words)}: {missing}"
    return len(asked)


def test_every_situation_has_its_steps(counted) -> None:
    """each situation has a heading, commands and a way to know that it is over"""
    sections = dict(
        re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", RUNBOOK.read_text(), re.M | re.DOTALL)
    )
    for situation in SITUATIONS:
        assert "**Done when**" in sections[situation], f"{situation} has no end"
        assert "```sh" in sections[situation], f"{situation} has no command"
    counted("situations", len(SITUATIONS))


def test_edge_commands_parse(counted) -> None:
    """every `thalweg …` line parses with the real binary"""
    counted("commands", edge_lines_parse(RUNBOOK))


def test_orders_are_named_at_the_top() -> None:
    """The top says which orders there are, that each acts on one edge, and how it ends."""
    top = RUNBOOK.read_text().split("## Region loss")[0]
    assert all(re.search(rf"`(thalweg )?{order}`", top) for order in ORDERS)
    assert "**one** edge" in top and "`--for`" in top
    edge = find_edge()
    assert all(run(edge, order, "--help").returncode == 0 for order in ORDERS)


@functools.cache
def kubectl_help(*verb: str) -> str:
    texts = [run("kubectl", *words).stdout for words in ((*verb, "--help"), ("options",))]
    assert "Usage:" in texts[0], f"kubectl has no verb {verb}"
    return "".join(texts)


def test_cluster_commands_parse(counted) -> None:
    """every kubectl and helm line names its context, and verbs and flags that exist"""
    for words in of("helm"):
        assert "--kube-context" in words and "--namespace" in words, words
        verb = next(word for word in words if word in HELM)
        assert set(flags(words)) <= HELM[verb] | HELM_GLOBAL, words
        if verb == "rollback":
            assert "0" in words, "1 would be the first release ever"
    counted("commands", kubectl_lines_parse(RUNBOOK) + len(of("helm")))


@functools.cache
def homes() -> dict[str, str]:
    """Release → namespace, as GitOps installs it."""
    applications = test_gitops.applications()
    return {
        app["spec"]["source"]["helm"]["releaseName"]: app["spec"]["destination"]["namespace"]
        for app in applications
    }


def value_after(words: tuple[str, ...], *names: str) -> str | None:
    """The value of the first of these flags, given after it or after an equals sign."""
    for at, word in enumerate(words):
        if word in names:
            return words[at + 1]
        if word.split("=", 1)[0] in names and word.startswith("--"):
            return word.split("=", 1)[1]
    return None


def namespaces_are_those_of_gitops(document: pathlib.Path) -> int:
    """Fails unless each release is looked for where GitOps puts it; how many lines name one."""
    managed = {obj["metadata"].get("namespace") for obj in test_gitops.read("argocd/project.yaml")}
    made = {obj["metadata"]["name"] for obj in test_gitops.namespaces("azure")}
    lines = [(name, words) for name in ("kubectl", "helm") for words in of(name, document)]
    lines += [("drill.sh", words) for words in of("drill.sh")] if document == RUNBOOK else []
    named = 0
    for name, words in lines:
        namespace = value_after(words, "--namespace")
        if namespace is None:
            assert name == "helm" and words[0] in ("lint", "template"), words
            continue
        assert namespace in {*homes().values(), *managed, *made}, (name, words)
        for word in words:
            release = word.removeprefix("deployment/")
            if release in homes() and namespace not in managed:
                assert namespace == homes()[release], (name, words)
                named += 1
    return named


def test_namespaces_and_applications_are_those_of_gitops(counted) -> None:
    """every release is where GitOps installs it, every Application is one that it makes"""
    number = namespaces_are_those_of_gitops(RUNBOOK)
    titles = {app["metadata"]["name"] for app in test_gitops.generated_applications()}
    for words in of("kubectl"):
        if "application" in words:
            assert words[words.index("application") + 1] in titles, words
    assert "namespace=apps name=fastapi-app" in (ROOT / SCRIPTS[0]).read_text()
    counted("lines", number)


def test_selectors_select_the_serving_pods_of_one_release(counted) -> None:
    """a selector takes the running pods of its release: no finished check, no other service"""
    import k8s

    asked = [words for words in of("kubectl") if value_after(words, "-l", "--selector")]
    assert asked
    for words in asked:
        wanted = dict(p.split("=") for p in value_after(words, "-l", "--selector").split(","))
        assert value_after(words, "--field-selector") == "status.phase=Running", words
        chosen = []
        for title, manifests in k8s.rendered().items():
            if not title.endswith(".aws.prod"):
                continue
            for pod in k8s.of_kind(manifests, "Deployment") + k8s.of_kind(manifests, "Pod"):
                meta = pod["spec"].get("template", pod)["metadata"]
                home = homes()[title.split(".")[0]]
                if home == value_after(words, "--namespace") and wanted.items() <= meta["labels"].items():
                    chosen.append((pod["kind"], title.split(".")[0]))
        assert chosen == [("Deployment", "fastapi-app")], (words, chosen)
    counted("selectors", len(asked))


KINDS = {
    "deployment": ("apps", "deployments"),
    "hpa": ("autoscaling", "horizontalpodautoscalers"),
    "pods": ("", "pods"),
    "pod": ("", "pods"),
    "application": ("argoproj.io", "applications"),
    "certificate": ("cert-manager.io", "certificates"),
    "certificaterequest": ("cert-manager.io", "certificaterequests"),
    "certificaterequests": ("cert-manager.io", "certificaterequests"),
}
IN_A_POD = {"exec": "pods/exec", "port-forward": "pods/portforward", "logs": "pods/log"}


def asked_of_the_cluster(words: tuple[str, ...]) -> set[tuple[str, str, str, str]]:
    """(group, resource, verb, name or "") that kubectl asks for to do a line."""
    verb, rest = words[4], list(words[5:])
    if verb == "rollout":
        rest.pop(0)
    kind, _, name = rest[0].partition("/")
    name = name or (rest[1] if len(rest) > 1 and not rest[1].startswith("-") else "")
    group, resource = KINDS[kind]
    if verb in IN_A_POD:
        found = set() if kind == "pod" else {(group, resource, "get", name), ("", "pods", "list", "")}
        does = "get" if verb == "logs" else "create"
        return found | {("", "pods", "get", ""), ("", IN_A_POD[verb], does, "")}
    if verb == "rollout":
        return {(group, resource, does, "") for does in ("get", "list", "watch")}
    if verb == "scale":
        return {(group, resource, "get", name), (group, f"{resource}/scale", "patch", name)}
    if verb == "describe":
        return {(group, resource, "get", name), ("", "events", "list", "")}
    if verb == "get":
        return {(group, resource, "get" if name else "list", name)}
    assert verb in ("patch", "delete"), f"say here what `kubectl {verb}` asks for"
    return {(group, resource, "get", name), (group, resource, verb, name)}


def allows(rule: dict, group: str, resource: str, verb: str, name: str) -> bool:
    named = rule.get("resourceNames")
    held = {group} <= set(rule["apiGroups"]) and resource in rule["resources"]
    return held and verb in rule["verbs"] and (not named or name in named)


def test_on_call_may_do_every_line(counted) -> None:
    """the group `oncall` has the rights for every kubectl line, from the charts' and the hub's roles"""
    import k8s

    asked = set()
    for words in of("kubectl"):
        namespace, cloud = words[3], words[1].split("-")[0]
        if namespace == "argocd":
            manifests = test_gitops.read("argocd/access.yaml")
        else:
            release = next(name for name, home in homes().items() if home == namespace and name in k8s.CHARTS)
            manifests = k8s.rendered()[f"{release}.{cloud}.prod"]
        binding = k8s.one(manifests, "RoleBinding")
        assert [entry["name"] for entry in binding["subjects"]] == ["oncall"]
        rules = k8s.one(manifests, "Role", binding["roleRef"]["name"])["rules"]
        for one in asked_of_the_cluster(words):
            assert any(allows(rule, *one) for rule in rules), (words, one)
            asked.add(one)
    counted("rights", len(asked))


def test_drill_script_takes_its_arguments() -> None:
    """the drill's script knows every flag that the runbook gives it"""
    script = (ROOT / "infra/gitops/drill.sh").read_text()
    for words in of("drill.sh"):
        assert words[0] in ("health", "scale")
        assert all(f"{flag})" in script or f"== {flag} " in script for flag in flags(words)), words


def test_make_targets_and_addresses_exist(counted) -> None:
    """every make target, admin path and environment variable that it names exists"""
    text = RUNBOOK.read_text()
    targets = set(re.findall(r"`make ([a-z-]+)`", text))
    known = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert targets and targets <= known, targets - known
    paths = set(re.findall(r"127\.0\.0\.1:9900(/[a-z0-9/]+)", text))
    served = "".join(file.read_text() for file in (ROOT / "crates/edge/src/admin").glob("*.rs"))
    assert paths and all(f'"{path}"' in served or path.split("/")[-1] in served for path in paths)
    settings = (ROOT / "app/app/settings.py").read_text()
    variables = set(re.findall(r"HEALTH_[A-Z_]+", text))
    assert variables and all(name in settings for name in variables)
    counted("names", len(targets | paths | variables))


def test_a_region_is_taken_out_where_nobody_puts_it_back(counted) -> None:
    """its values dial one pool down and keep the rest; Flux is suspended before helm, and resumed"""
    import k8s

    section = RUNBOOK.read_text().split("## Take a region out by hand")[1].split("\n## ")[0]
    order = [section.index(word) for word in ("commit it", "suspend helm", "helm upgrade", "resume helm")]
    assert order == sorted(order)
    told = yaml.safe_load(textwrap.dedent(re.search(r"```yaml\n(.*?)```", section, re.DOTALL)[1]))
    (committed,) = re.findall(r"`(infra/helm/\S+\.yaml)`", section)
    used = {name for app in test_gitops.applications() for name in app["spec"]["source"]["helm"]["valueFiles"]}
    assert (ROOT / committed).name in used
    for cloud in k8s.CLOUDS:
        before = k8s.merge(k8s.loaded("thalweg-edge").values, k8s.values_of("thalweg-edge", cloud, "prod"))
        after = k8s.merge(before, told)["config"]["route"]["all"]["pools"]
        assert [pool.get("dial", 100) for pool in after] == [0, 100, 100]
        assert {pool["pool"] for pool in after} == set(before["config"]["pool"])
    for words in of("flux"):
        assert words[4] in ("suspend", "resume") and words[5] == "helmrelease", words
        releases = test_gitops.cloud_releases(words[6].rsplit("-", 1)[1])
        assert k8s.one(releases, "HelmRelease", words[6])["metadata"]["namespace"] == words[3]
    counted("flux lines", len(of("flux")))


def test_metrics_exist(counted) -> None:
    """every metric that it names is one the edge declares"""
    text = RUNBOOK.read_text()
    for inner in re.findall(r"thalweg_\(([a-z_|]+)\)", text):
        text += " ".join(f" thalweg_{part}" for part in inner.split("|"))
    declared = set(
        re.findall(r'"(thalweg_[a-z_]+)"', (ROOT / "crates/edge/src/shared/telemetry.rs").read_text())
    )
    named = set(re.findall(r"thalweg_[a-z]+(?:_[a-z]+)*", text))
    assert len(named) > 5 and named <= declared, named - declared
    counted("metrics", len(named))


def anchors(document: pathlib.Path) -> set[str]:
    titles = re.findall(r"^##+ (.+)$", document.read_text(), re.M)
    return {re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-") for title in titles}


def test_headings_that_are_linked_exist(counted) -> None:
    """every link leads somewhere"""
    links = re.findall(r"\]\(([^)]+)\)", RUNBOOK.read_text())
    for link in links:
        path, _, heading = link.partition("#")
        target = ROOT / path if path else RUNBOOK
        assert target.exists() and (not heading or heading in anchors(target)), link
    counted("links", len(links))
