"""GitOps: staging and development beside production, by Argo CD and by Flux; and the canary under Flux."""

from __future__ import annotations

import pathlib

import pytest
import yaml
from conftest import INFRA, ROOT, run
from k8s import CHARTS, CLOUDS, SERVICES, Manifest, merge, of_kind, one, render, validate
from test_gitops import GITOPS, SETS, built, cloud_releases, generated, read
from test_gitops_slots import merged

STAGES = {"staging": ("stage", "stage"), "development": ("develop", "dev")}
RELEASES = (*CHARTS, *SERVICES)


def hub(stage: str) -> list[Manifest]:
    return built(f"stages/{stage}/argocd")


def applications(stage: str) -> list[Manifest]:
    return [app for name in SETS for app in generated(one(hub(stage), "ApplicationSet", name))]


def releases(stage: str, cloud: str) -> list[Manifest]:
    found = of_kind(built(f"stages/{stage}/flux/{cloud}"), "HelmRelease")
    assert {release["spec"]["releaseName"] for release in found} == set(RELEASES)
    return found


def wanted(stage: str, cloud: str, release: str) -> list[pathlib.Path]:
    """The files that decide over a release of a stage, in order, without the chart's own defaults."""
    chart = "thalweg-edge" if release == "thalweg-edge" else "fastapi-app"
    folder, own = INFRA / "helm" / chart, GITOPS / "stages" / stage
    service = [folder / "values-services" / f"{release}.yaml"] if release in SERVICES else []
    return [
        folder / f"values-{cloud}.yaml",
        folder / f"values-{STAGES[stage][1]}.yaml",
        *service,
        own / "values" / f"{release}.yaml",
        own / "values" / cloud / f"{release}.yaml",
        own / "images" / f"{release}.yaml",
    ]


def read_by_argo(app: Manifest) -> list[pathlib.Path]:
    source = app["spec"]["source"]
    return [ROOT / name[1:] if name[0] == "/" else ROOT / source["path"] / name for name in source["helm"]["valueFiles"]]


def read_by_flux(release: Manifest) -> list[pathlib.Path]:
    first, *rest = [ROOT / name for name in release["spec"]["chart"]["spec"]["valuesFiles"]]
    assert first == ROOT / release["spec"]["chart"]["spec"]["chart"] / "values.yaml"
    return rest


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_reads_its_own_files(stage, counted) -> None:
    """Argo CD and Flux: a stage has its chart values, its slots and its images, from its branch, in all clouds; nothing of production"""
    branch, number = STAGES[stage][0], 0
    assert run(INFRA / "scripts" / "environment.sh", branch).stdout.strip() == stage
    for app in applications(stage):
        cloud, source = app["metadata"]["labels"]["cloud"], app["spec"]["source"]
        assert read_by_argo(app) == wanted(stage, cloud, source["helm"]["releaseName"])
        assert source["targetRevision"] == branch
        number += 1
    for namespaces in generated(one(hub(stage), "ApplicationSet", "namespaces")):
        assert namespaces["spec"]["source"]["targetRevision"] == branch
    for cloud in CLOUDS:
        source = one(built(f"stages/{stage}/flux/{cloud}"), "GitRepository")
        assert source["spec"]["ref"] == {"branch": branch}
        for release in releases(stage, cloud):
            spec = release["spec"]
            assert read_by_flux(release) == wanted(stage, cloud, spec["releaseName"])
            assert spec["chart"]["spec"]["sourceRef"]["name"] == source["metadata"]["name"]
            assert not spec.get("valuesFrom"), "the canary's share is production's"
            number += 1
    assert number == 2 * len(CLOUDS) * len(RELEASES)
    counted("releases", number)


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_has_productions_waves(stage) -> None:
    """Argo CD and Flux: all but files and revision is as in production, waves and gate included"""
    for name in SETS:
        spec, production = (one(where, "ApplicationSet", name)["spec"] for where in (hub(stage), read(f"argocd/{name}.yaml")))
        for each in (spec, production):
            each["template"]["spec"]["source"].pop("targetRevision")
            each["template"]["spec"]["source"]["helm"].pop("valueFiles")
        assert spec == production, name
    for kind in ("AppProject", "ConfigMap", "Role", "RoleBinding"):
        assert of_kind(hub(stage), kind) == of_kind(built("argocd"), kind)
    waves = {wave["metadata"]["name"]: wave["spec"] for wave in of_kind(built(f"stages/{stage}/flux"), "Kustomization")}
    production = {wave["metadata"]["name"]: wave["spec"] for wave in read("flux/waves.yaml")}
    assert waves.keys() == production.keys() - {"canary"}
    for name, spec in waves.items():
        path = f"./infra/gitops/stages/{stage}/flux/{name}" if name in CLOUDS else production[name]["path"]
        assert spec == production[name] | {"path": path}
    for cloud in CLOUDS:
        after = {release["metadata"]["name"]: release["spec"].get("dependsOn") for release in releases(stage, cloud)}
        assert after == {r["metadata"]["name"]: r["spec"].get("dependsOn") for r in of_kind(cloud_releases(cloud), "HelmRelease")}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_renders_and_is_valid(stage, counted) -> None:
    """Every release of a stage renders from its files; what the hub and Flux are given is strictly valid"""
    for app in applications(stage):
        source = app["spec"]["source"]
        assert render(source["path"].split("/")[-1], merged(read_by_argo(app)), source["helm"]["releaseName"])
    groups = {"argocd": hub(stage), "flux": built(f"stages/{stage}/flux")}
    groups |= {cloud: built(f"stages/{stage}/flux/{cloud}") for cloud in CLOUDS}
    counted("objects", validate(groups))


def test_a_stage_has_a_place_for_every_image() -> None:
    """pin-image.sh finds a file for each release in each stage, and none of them says anything yet"""
    for stage in STAGES:
        files = sorted((GITOPS / "stages" / stage / "images").iterdir())
        assert [file.stem for file in files] == sorted(RELEASES)
        assert all(yaml.safe_load(file.read_text()) == {"image": {}} for file in files)


# --- the canary under Flux -------------------------------------------------------------------------------------------


def test_flux_has_the_canarys_release() -> None:
    """Flux: the canary is the release that Argo CD makes, from the same files, in the canary cloud; checked, healed, in no wave"""
    argo = one(read("argocd/canary.yaml"), "Application")["spec"]
    release = one(built("flux/canary"), "HelmRelease")["spec"]
    assert release["releaseName"] == argo["source"]["helm"]["releaseName"]
    assert read_by_flux({"spec": release}) == read_by_argo({"spec": argo})
    assert release["targetNamespace"] == argo["destination"]["namespace"] == release["storageNamespace"]
    assert release["kubeConfig"] == {"configMapRef": {"name": "cluster-azure"}}
    stable = one(cloud_releases("azure"), "HelmRelease", "fastapi-app-azure")["spec"]
    for key in ("test", "driftDetection", "upgrade", "install"):
        assert release[key] == stable[key], key
    assert "dependsOn" not in release
    waits = {name["name"] for cloud in CLOUDS for r in of_kind(cloud_releases(cloud), "HelmRelease") for name in r["spec"].get("dependsOn", [])}
    assert not {name for name in waits if "canary" in name}


def test_flux_gives_the_canarys_share() -> None:
    """Flux: a commit of the share reaches the canary cloud's edges at once, after all files, and no other release"""
    share = one(built("flux/canary"), "ConfigMap")
    assert share["metadata"]["labels"]["reconcile.fluxcd.io/watch"] == "Enabled"
    committed = (GITOPS / "canary" / "azure" / "thalweg-edge.yaml").read_text()
    assert share["data"] == {"values.yaml": committed}
    readers = {
        release["metadata"]["name"]: release["spec"]["valuesFrom"]
        for cloud in CLOUDS
        for release in of_kind(cloud_releases(cloud), "HelmRelease")
        if "valuesFrom" in release["spec"]
    }
    assert readers == {"thalweg-edge-azure": [{"kind": "ConfigMap", "name": share["metadata"]["name"], "optional": True}]}
    wave = {wave["metadata"]["name"]: wave["spec"] for wave in read("flux/waves.yaml")}["canary"]
    assert (ROOT / wave["path"]) == GITOPS / "flux" / "canary" and wave["wait"] is False, "0 percent gets through beside a sick canary"
    main = one(read("flux/source.yaml"), "GitRepository")
    assert wave["sourceRef"]["name"] == main["metadata"]["name"] and main["spec"]["ref"] == {"branch": "main"}
    release = one(cloud_releases("azure"), "HelmRelease", "thalweg-edge-azure")
    files = merged(read_by_flux(release))
    dialled = {"config": {"route": {"all": {"policy": "failover"}}}}
    assert one(render("thalweg-edge", merge(files, dialled)), "ConfigMap")["data"] != one(render("thalweg-edge", files), "ConfigMap")["data"]
