"""GitOps: strictly valid objects, waves that spare the other clouds, a drill that nobody heals."""

from __future__ import annotations

import functools
import itertools
import json
import os
import pathlib
import re
import stat
from typing import Any

import pytest
from conftest import INFRA, ROOT, find_tool, run
from k8s import (
    CHARTS,
    CLOUDS,
    HELM,
    SERVICES,
    STAGES,
    Manifest,
    of_kind,
    one,
    parsed,
    rendered,
    templates,
    validate,
    values_of,
)

GITOPS = INFRA / "gitops"
SETS = ("regions", "edges", "services")


def read(path: str) -> list[Manifest]:
    return parsed((GITOPS / path).read_text(encoding="utf-8"))


@functools.cache
def kustomized(folder: pathlib.Path) -> str:
    done = run(find_tool("kubectl"), "kustomize", folder)
    assert done.returncode == 0, done.stderr
    return done.stdout


def built(path: str) -> list[Manifest]:
    """What kustomize makes of a folder."""
    return parsed(kustomized(GITOPS / path))


def cloud_releases(cloud: str) -> list[Manifest]:
    return built(f"flux/clouds/{cloud}")


def namespaces(which: str) -> list[Manifest]:
    return built(f"namespaces/{which}")


def generated(applications: Manifest) -> list[Manifest]:
    """What the controller would make: list and matrix generators, `{{ .name }}` only."""
    (generator,) = applications["spec"]["generators"]
    parts = generator["matrix"]["generators"] if "matrix" in generator else [generator]
    made = []
    for elements in itertools.product(*(part["list"]["elements"] for part in parts)):
        names: dict[str, Any] = {
            key: value for element in elements for key, value in element.items()
        }
        text = json.dumps(applications["spec"]["template"])
        text = re.sub(r"\{\{ \.(\w+) \}\}", lambda found: names[found[1]], text)
        assert "{{" not in text
        made.append(json.loads(text))
    return made


def generated_applications() -> list[Manifest]:
    sets = [generated(one(read(f"argocd/{name}.yaml"), "ApplicationSet")) for name in SETS]
    return [*itertools.chain(*sets)]


def applications() -> list[Manifest]:
    return [*generated_applications(), *read("argocd/application.yaml")]


def test_objects_are_valid(counted):
    """Every Argo CD and Flux object is strictly valid against its CRD."""
    groups = {
        path.stem: parsed(path.read_text())
        for path in sorted((GITOPS / "argocd").glob("*.yaml"))
        if path.stem != "kustomization"
    }
    groups |= {f"flux-{name}": read(f"flux/{name}.yaml") for name in ("source", "waves", "clusters")}
    groups |= {f"flux-{cloud}": cloud_releases(cloud) for cloud in CLOUDS}
    groups |= {f"namespaces-{which}": namespaces(which) for which in ("all", "azure")}
    groups["flux-canary"] = built("flux/canary")
    assert all(groups.values()) and len(groups) == 9 + 2 + 3 + 3 + 2 + 1
    counted("objects", validate(groups))


def value_files(application: Manifest) -> list[pathlib.Path]:
    """In order; a leading slash is the repository's root, as Argo CD has it."""
    source = application["spec"]["source"]
    names = source["helm"]["valueFiles"]
    return [ROOT / name[1:] if name[0] == "/" else ROOT / source["path"] / name for name in names]


def own_files(application: Manifest) -> list[pathlib.Path]:
    """The chart's own values files: without the slots, which may be empty."""
    return [path for path in value_files(application) if GITOPS not in path.parents]


def test_applications_name_what_exists(counted):
    """Each application names files that exist; its project allows what it needs."""
    project = one(read("argocd/project.yaml"), "AppProject")["spec"]
    namespaces = {destination["namespace"] for destination in project["destinations"]}
    titles = [application["metadata"]["name"] for application in applications()]
    assert len(titles) == len(set(titles)) == 3 + 3 + 15 + 1
    for application in applications():
        spec = application["spec"]
        assert spec["project"] == "thalweg" and spec["source"]["repoURL"] in project["sourceRepos"]
        assert spec["destination"]["namespace"] in namespaces
        assert len(own_files(application)) >= 2
        assert all(path.stat().st_size for path in own_files(application))
    counted("applications", len(titles))


def test_project_allows_what_the_charts_make(counted):
    """The project allows the cluster-wide objects that the charts make, by name."""
    allowed = one(read("argocd/project.yaml"), "AppProject")["spec"]["clusterResourceWhitelist"]
    kinds = {entry["kind"] for entry in allowed}
    assert "*" not in kinds
    wide = {m["kind"] for ms in rendered().values() for m in ms if "namespace" not in m["metadata"]}
    assert wide and wide <= kinds
    counted("kinds", len(kinds))


def controller() -> tuple[Manifest, dict[str, Any]]:
    """The Application of the balancer controller, and its source that is the chart."""
    spec = one(read("argocd/platform.yaml"), "Application")["spec"]
    (chart,) = [source for source in spec["sources"] if "chart" in source]
    return spec, chart


# What the controller cannot find out by itself.
REGION = ROOT / "infra/terraform/modules/aws/region/outputs.tf"


def test_balancer_controller_on_aws():
    """AWS: the controller that makes ALBs: v3, pinned, with a role and a project of its own."""
    project = one(read("argocd/platform.yaml"), "AppProject")
    spec, chart = controller()
    assert spec["project"] == project["metadata"]["name"] != "thalweg"
    assert {source["repoURL"] for source in spec["sources"]} == set(project["spec"]["sourceRepos"])
    assert spec["destination"] in project["spec"]["destinations"]
    assert re.fullmatch(r"3\.\d+\.\d+", chart["targetRevision"])
    values = chart["helm"]["valuesObject"]
    told = re.search(r'output "controller_values".*?yamlencode\((.*?)\n  }\)', REGION.read_text(), re.DOTALL)[1]
    terraforms = set(re.findall(r"^    (\w+) +=", told, re.MULTILINE))
    assert {"clusterName", "region", "vpcId"} < terraforms <= set(values), "Terraform tells more than is set here"
    assert re.fullmatch(r"vpc-[0-9a-f]{17}", values["vpcId"]), values["vpcId"]
    account = values["serviceAccount"]
    assert account["annotations"]["eks.amazonaws.com/role-arn"].startswith("arn:aws:iam::")
    hub = generated(one(read("argocd/regions.yaml"), "ApplicationSet"))
    assert spec["destination"]["name"] in [app["spec"]["destination"]["name"] for app in hub]


def test_gateway_api_on_aws_comes_with_its_controller():
    """AWS: the Gateway API's kinds and the class come in the controller's own sync, which puts kinds first."""
    spec, chart = controller()
    kinds, own = (source for source in spec["sources"] if source is not chart)
    assert re.fullmatch(r"v1\.\d+\.\d+", kinds["targetRevision"]) and kinds["path"] == "config/crd"
    (made,) = [parsed(path.read_text()) for path in (ROOT / own["path"]).glob("*.yaml")]
    gateway_class = one(made, "GatewayClass")
    asked = one(rendered()["fastapi-app.aws.prod"], "Gateway")["spec"]["gatewayClassName"]
    assert gateway_class["metadata"]["name"] == asked
    assert gateway_class["spec"]["controllerName"] == "gateway.k8s.aws/alb"
    assert chart["helm"]["valuesObject"]["controllerConfig"]["featureGates"]["ALBGatewayAPI"] is True
    assert "SkipDryRunOnMissingResource=true" in spec["syncPolicy"]["syncOptions"]
    allowed = one(read("argocd/platform.yaml"), "AppProject")["spec"]["clusterResourceWhitelist"]
    assert {"group": "gateway.networking.k8s.io", "kind": "GatewayClass"} in allowed
    assert validate({"eks": made}) == len(made)


def test_balancer_controller_keeps_its_authority():
    """AWS: no certificate is made while rendering, which would change what runs at every sync."""
    spec, chart = controller()
    assert chart["helm"]["valuesObject"].get("enableCertManager") is True
    assert spec["syncPolicy"]["retry"]["limit"] == -1, "cert-manager may come after it"
    for page in (GITOPS / "README.md", HELM / "README.md"):
        assert re.search(r"cert-manager.*Load Balancer Controller", page.read_text()), page


def test_argo_waves(counted):
    """Argo CD: one canary cloud, then one at a time; prune, self-heal; the switch is on."""
    for name in SETS:
        spec = one(read(f"argocd/{name}.yaml"), "ApplicationSet")["spec"]
        canary, rest = spec["strategy"]["rollingSync"]["steps"]
        assert spec["strategy"]["type"] == "RollingSync"
        assert canary["matchExpressions"][0]["values"] == ["canary"] and rest["maxUpdate"] == 1
        made = generated(one(read(f"argocd/{name}.yaml"), "ApplicationSet"))
        waves = {
            app["metadata"]["labels"]["cloud"]: app["metadata"]["labels"]["wave"] for app in made
        }
        assert set(waves) == set(CLOUDS) and sorted(waves.values()) == ["canary", "rest", "rest"]
        assert set(waves.values()) == {
            step["matchExpressions"][0]["values"][0] for step in (canary, rest)
        }
    params = one(read("argocd/params.yaml"), "ConfigMap")["data"]
    assert params == {"applicationsetcontroller.enable.progressive.syncs": "true"}
    for application in applications():
        sync = application["spec"]["syncPolicy"]
        assert sync["automated"] == {"prune": True, "selfHeal": True}
        assert "CreateNamespace=true" in sync["syncOptions"]
    counted("applications", len(applications()))


def test_flux_waves(counted):
    """Flux v1: 1 m, pruned, each cloud after the one before; tested, else rolled back."""
    every = {wave["metadata"]["name"]: wave["spec"] for wave in read("flux/waves.yaml")}
    waves = {name: every[name] for name in CLOUDS}
    floors = {f"namespaces-{name}": every[f"namespaces-{name}"] for name in CLOUDS}
    assert every.keys() == waves.keys() | floors.keys() | {"canary"}
    after = {name: [d["name"] for d in spec.get("dependsOn", [])] for name, spec in waves.items()}
    assert after == {
        "azure": ["namespaces-azure"],
        "aws": ["azure", "namespaces-aws"],
        "gcp": ["aws", "namespaces-gcp"],
    }
    source = one(read("flux/source.yaml"), "GitRepository")
    assert source["apiVersion"] == "source.toolkit.fluxcd.io/v1"
    for name, spec in waves.items():
        assert (spec["interval"], spec["prune"], spec["wait"]) == ("1m", True, True)
        assert spec["sourceRef"]["name"] == source["metadata"]["name"]
        assert (ROOT / spec["path"] / "kustomization.yaml").exists()
        releases = of_kind(cloud_releases(name), "HelmRelease")
        names = {release["spec"]["releaseName"] for release in releases}
        assert names == {*CHARTS, *SERVICES} and len(releases) == len(names)
        for release in releases:
            chart = release["spec"]["chart"]["spec"]
            title = release["spec"]["releaseName"]
            charts = [path for path in chart["valuesFiles"] if "/gitops/" not in path]
            assert len(charts) >= 3 and all((ROOT / path).stat().st_size for path in charts)
            owner = HELM / ("fastapi-app" if title in SERVICES else title)
            assert f"./{owner.relative_to(ROOT)}" == chart["chart"]
            assert (f"values-services/{title}.yaml" in charts[-1]) == (title in SERVICES)
            assert any(f"values-{name}.yaml" in path for path in chart["valuesFiles"])
            assert release["spec"]["kubeConfig"] == {"configMapRef": {"name": f"cluster-{name}"}}
            assert release["spec"]["test"]["enable"] is True
            assert release["spec"]["upgrade"]["remediation"]["strategy"] == "rollback"
    counted("waves", len(waves))


def test_flux_pins_each_cloud(counted):
    """Flux: every release of a cloud comes from that cloud's own source, which is at a tag."""
    seen = set()
    for cloud in CLOUDS:
        objects = cloud_releases(cloud)
        source = one(objects, "GitRepository")
        assert set(source["spec"]["ref"]) == {"tag"}, f"{cloud} would move with a branch"
        for release in of_kind(objects, "HelmRelease"):
            ref = release["spec"]["chart"]["spec"]["sourceRef"]
            assert ref == {"kind": "GitRepository", "name": source["metadata"]["name"]}
            assert source["metadata"]["namespace"] == release["metadata"]["namespace"]
        seen.add(source["metadata"]["name"])
    assert len(seen) == len(CLOUDS)
    argo = {app["spec"]["source"]["helm"]["releaseName"] for app in applications()}
    assert argo == {r["spec"]["releaseName"] for r in of_kind(objects, "HelmRelease")}
    counted("sources", len(seen))


def test_flux_holds_back_what_the_cloud_before_has_not_passed(counted):
    """Flux: each release depends on the same one of the cloud before; no cloud's tag is ahead of the one before it."""
    order, number, tags = ("azure", "aws", "gcp"), 0, []
    for at, cloud in enumerate(order):
        objects = cloud_releases(cloud)
        version = one(objects, "GitRepository")["spec"]["ref"]["tag"].removeprefix("v")
        tags.append(tuple(int(part) for part in version.split(".")))
        for release in of_kind(objects, "HelmRelease"):
            name = release["spec"]["releaseName"]
            before = [{"name": f"{name}-{order[at - 1]}"}] if at else []
            assert release["spec"].get("dependsOn", []) == before, release["metadata"]["name"]
            number += 1
    assert tags == sorted(tags, reverse=True), f"a cloud is ahead of the one before: {dict(zip(order, tags, strict=True))}"
    counted("releases", number)


def test_bake_holds_the_wave_open():
    """The bake runs in Argo CD and helm, 5 min in production, within Flux's timeout."""
    pod = one(rendered()["fastapi-app.azure.prod"], "Pod")
    notes = pod["metadata"]["annotations"]
    assert (notes["argocd.argoproj.io/hook"], notes["helm.sh/hook"]) == ("PostSync", "test")
    env = {item["name"]: item["value"] for item in pod["spec"]["containers"][0]["env"]}
    assert int(env["SECONDS"]) == 300 < pod["spec"]["activeDeadlineSeconds"]
    release = of_kind(cloud_releases("azure"), "HelmRelease")[0]["spec"]
    assert int(release["timeout"].removesuffix("m")) * 60 > pod["spec"]["activeDeadlineSeconds"]


def test_helm_waits_for_the_bake(counted):
    """`helm test` as the notes and the README have it outlasts the check of every stage"""
    for stage in STAGES:
        values = values_of("fastapi-app", "aws", stage)
        texts = templates("fastapi-app", values)
        deadline = one(rendered()[f"fastapi-app.aws.{stage}"], "Pod")["spec"]["activeDeadlineSeconds"]
        assert deadline > values.get("bake", {"seconds": 10})["seconds"] + 60
        assert f" --timeout {deadline}s" in texts["fastapi-app/templates/NOTES.txt"]
    # Of production, the last.
    assert f"helm test fastapi-app --timeout {deadline}s\n" in (HELM / "fastapi-app/README.md").read_text()
    counted("stages", len(STAGES))


def test_self_heal_leaves_the_drill_alone():
    """Nobody heals the number of pods back: no chart writes it, Argo CD and Flux ignore it."""
    for application in applications():
        (ignored,) = application["spec"]["ignoreDifferences"]
        assert (ignored["kind"], ignored["jsonPointers"]) == ("Deployment", ["/spec/replicas"])
        assert "RespectIgnoreDifferences=true" in application["spec"]["syncPolicy"]["syncOptions"]
    for release in of_kind(cloud_releases("aws"), "HelmRelease"):
        assert release["spec"]["driftDetection"]["ignore"][0]["paths"] == ["/spec/replicas"]
    for cloud in CLOUDS:
        assert "replicas" not in one(rendered()[f"fastapi-app.{cloud}.prod"], "Deployment")["spec"]


KUBECTL = """#!/bin/sh
echo "kubectl $*" >>"$CALLS"
case "$*" in
*"get application"*) echo "$IGNORED" ;;
*"get pods"*) printf 'pod/a\\npod/b\\npod/c\\n' ;;
*"{.spec.replicas}"*) echo 4 ;;
esac
# $BROKEN: what a call must contain to fail; $TIMES: how often it fails.
[ -z "$BROKEN" ] && exit 0
case "$*" in
*"$BROKEN"*) [ "$(grep -cF -- "$BROKEN" "$CALLS")" -gt "$TIMES" ] || exit 1 ;;
esac
"""
CURL = """#!/bin/sh
echo "curl $*" >>"$CALLS"
[ "$(grep -c ^curl "$CALLS")" -gt "$FAILING" ]
"""


@pytest.fixture
def drill(tmp_path: pathlib.Path):
    """drill(*arguments, ignored=…, failing=…, broken=…) → (result, changes made, in order)."""
    for name, text in (("kubectl", KUBECTL), ("curl", CURL), ("sleep", "#!/bin/sh\n")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(stat.S_IRWXU)
    calls = tmp_path / "calls"

    def go(
        *arguments: str,
        ignored: str = '["/spec/replicas"]',
        failing: int = 0,
        broken: tuple[str, int] = ("", 0),
    ):
        calls.write_text("")
        path = f"{tmp_path}:{os.environ['PATH']}"
        env = {"PATH": path, "CALLS": str(calls), "IGNORED": ignored, "FAILING": str(failing)}
        env |= {"BROKEN": broken[0], "TIMES": str(broken[1])}
        result = run(GITOPS / "drill.sh", *arguments, **env)
        return result, [call for call in calls.read_text().splitlines() if " get " not in call]

    return go


COMMON = ("--context", "aws", "--witness", "https://api.example.com/", "--for", "3")
SCALE = ("scale", *COMMON, "--application", "fastapi-app-aws", "--hub", "hub")


def test_drill_scales_and_restores(drill):
    """drill.sh scale: to zero, asks through the edge, back; errors decide its exit status."""
    result, calls = drill(*SCALE)
    assert result.returncode == 0, result.stderr
    assert (
        calls[0].endswith("scale deployment/fastapi-app --replicas 0")
        and "--context aws" in calls[0]
    )
    assert [call.split()[0] for call in calls[1:-1]] == ["curl"] * 3
    assert calls[-1].endswith("scale deployment/fastapi-app --replicas 4")
    result, calls = drill(*SCALE, failing=2)
    assert result.returncode == 1 and "2 of 3 requests failed" in result.stdout
    assert calls[-1].endswith("--replicas 4"), "it restores after a bad drill too"
    assert drill(*SCALE, "--errors", "2", failing=2)[0].returncode == 0


def test_drill_refuses_what_would_be_healed(drill):
    """drill.sh scale changes nothing where Argo CD would take it back."""
    for ignored in ("", '["/spec/paused"]'):
        result, calls = drill(*SCALE, ignored=ignored)
        assert result.returncode == 3 and not calls
        assert "does not ignore /spec/replicas" in result.stderr


def test_drill_by_the_applications_own_switch(drill):
    """drill.sh health: throws the chart's own switch in every pod and takes it back."""
    result, calls = drill("health", *COMMON)
    assert result.returncode == 0, result.stderr
    execs = [call for call in calls if " exec " in call]
    assert ["touch()" in call for call in execs] == [True] * 3 + [False] * 3
    assert all("unlink(missing_ok=True)" in call for call in execs[3:])
    container = one(rendered()["fastapi-app.aws.prod"], "Deployment")
    container = container["spec"]["template"]["spec"]["containers"][0]
    env = {item["name"]: item.get("value") for item in container["env"]}
    assert all(f"'{env['HEALTH_CHECK_FAIL_FILE']}'" in call for call in execs)
    assert all(f"--container {container['name']} " in call for call in execs)


def test_drill_restores_the_pods_that_it_can_reach(drill):
    """One pod that cannot be reached keeps no other ill: retried once, then named, exit 4."""
    undone = [f"exec pod/{pod} --container app -- python -c import pathlib;" for pod in "abc"]

    def unlinked(calls: list[str]) -> list[str]:
        return [call.split("exec pod/")[1][0] for call in calls if "unlink(" in call]

    path = "pathlib.Path('/tmp/unhealthy')"
    broken = f"{undone[0]} {path}.unlink"
    result, calls = drill("health", *COMMON, broken=(broken, 99))
    assert unlinked(calls) == ["a", "b", "c", "a"]
    assert result.returncode == 4 and "pod/a" in result.stderr and "pod/b" not in result.stderr
    assert "kubectl --context aws --namespace apps exec pod/a" in result.stderr
    result, calls = drill("health", *COMMON, broken=(broken, 1))
    assert result.returncode == 0 and unlinked(calls) == ["a", "b", "c", "a"]
    result, calls = drill("health", *COMMON, broken=(broken, 99), failing=2)
    assert result.returncode == 4, "a region that is still ill is worse than lost requests"
    result, calls = drill("health", *COMMON, broken=(f"{undone[1]} {path}.touch", 99))
    assert result.returncode == 3 and sorted(unlinked(calls)) == ["a", "b", "c"]


def test_drill_says_what_is_wrong(drill, counted):
    """Wrong words are refused with a reason; --dry-run changes nothing."""
    wrong = [
        (),
        ("explode", *COMMON),
        ("scale", *COMMON),
        ("health", "--context", "aws"),
        ("health", *COMMON, "--for", "soon"),
        ("health", *COMMON, "--tea"),
        ("health", *COMMON, "--name"),
    ]
    for arguments in wrong:
        result, calls = drill(*arguments)
        assert (
            result.returncode == 2 and result.stderr.startswith("drill: ") and not calls
        ), arguments
    for arguments in (("health", *COMMON, "--dry-run"), (*SCALE, "--dry-run")):
        result, calls = drill(*arguments)
        assert result.returncode == 0 and not calls and "would run: kubectl" in result.stdout
    counted("wrong calls", len(wrong))


def test_readme_names_what_exists():
    """The README's files exist, and it says which switch the waves need."""
    text = (GITOPS / "README.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:argocd|flux|namespaces)/[\w./]+|drill\.sh)", text)
    named = [name for name in named if "CLOUD" not in name]
    assert len(set(named)) >= 12 and all((GITOPS / name).exists() for name in named)
    assert "argocd/params.yaml" in text and "--for 120" in text
    commands = re.findall(r"^infra/[\w./-]+", text, re.MULTILINE)
    assert len(commands) == 2 and all((ROOT / name).exists() for name in commands)
