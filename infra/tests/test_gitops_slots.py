"""GitOps: a place for one's own values and for images by digest, Pod Security on namespaces, clusters without stored keys."""

from __future__ import annotations

import json
import pathlib
import shutil
import sys

import yaml
from conftest import INFRA, ROOT, run
from k8s import CHARTS, CLOUDS, SERVICES, STAGES, Manifest, merge, of_kind, one, render, rendered
from test_gitops import GITOPS, applications, cloud_releases, generated, generated_applications, namespaces, read, value_files

sys.path.insert(0, str(INFRA / "policy"))

from policies import containers, pods  # noqa: E402

RELEASES = (*CHARTS, *SERVICES)


def merged(files: list[pathlib.Path]) -> dict:
    values: dict = {}
    for path in files:
        if path.exists():
            values = merge(values, yaml.safe_load(path.read_text(encoding="utf-8")) or {})
    return values


def slots(release: str, cloud: str) -> list[pathlib.Path]:
    return [
        GITOPS / "values" / f"{release}.yaml",
        GITOPS / "values" / cloud / f"{release}.yaml",
        GITOPS / "images" / f"{release}.yaml",
    ]


def test_own_values_and_images_have_a_slot(counted) -> None:
    """Argo CD and Flux read, after the chart's files: yours for all clouds, yours for this one, the image; none need be there"""
    for application in applications():
        source = application["spec"]["source"]
        cloud = application["metadata"]["labels"]["cloud"] if "labels" in application["metadata"] else "aws"
        release, files = source["helm"]["releaseName"], value_files(application)
        if release == "thalweg-edge":
            assert files.pop() == GITOPS / "canary" / cloud / "thalweg-edge.yaml", "the canary's share has the last word"
        assert files[-3:] == slots(release, cloud)
        assert source["helm"]["ignoreMissingValueFiles"] is True
    for cloud in CLOUDS:
        releases = of_kind(cloud_releases(cloud), "HelmRelease")
        assert len(releases) == len(RELEASES)
        for release in releases:
            chart = release["spec"]["chart"]["spec"]
            wanted = slots(release["spec"]["releaseName"], cloud)
            assert chart["valuesFiles"][-3:] == [f"./{path.relative_to(ROOT)}" for path in wanted]
            assert chart["ignoreMissingValuesFiles"] is True
    counted("releases", len(applications()) + len(CLOUDS) * len(RELEASES))


def test_every_release_renders_with_its_slots(counted) -> None:
    """Each application renders from its files in order, as the repository has them"""
    for application in generated_applications():
        source = application["spec"]["source"]
        chart = source["path"].split("/")[-1]
        assert render(chart, merged(value_files(application)), source["helm"]["releaseName"])
    counted("applications", len(generated_applications()))


def pin(here: pathlib.Path, *words: str):
    return run(here / "pin-image.sh", *words)


def test_ci_pins_images_by_digest(tmp_path, counted) -> None:
    """pin-image.sh, really run: the pods then run that digest in every cloud; what is no digest is refused"""
    here = tmp_path / "gitops"
    shutil.copytree(GITOPS, here)
    digest, tag = "sha256:" + "0123456789abcdef" * 4, "3f786850e387550fdab836ed7e6dc881de23001b"
    assert sorted(path.stem for path in (here / "images").glob("*.yaml")) == sorted([*RELEASES, "fastapi-app-canary"])
    for release in RELEASES:
        done = pin(here, release, f"ghcr.io/acme/{release}", tag, digest)
        assert done.returncode == 0, done.stderr
        assert pin(here, release, f"ghcr.io/acme/{release}", tag, digest).returncode == 0, "again"
    for application in generated_applications():
        source = application["spec"]["source"]
        name, chart = source["helm"]["releaseName"], source["path"].split("/")[-1]
        moved = [here / p.relative_to(GITOPS) if GITOPS in p.parents else p for p in value_files(application)]
        made = render(chart, merged(moved), name)
        template = one(made, "Deployment")["spec"]["template"]
        assert template["spec"]["containers"][0]["image"] == f"ghcr.io/acme/{name}@{digest}"
        assert template["metadata"]["labels"]["app.kubernetes.io/version"] == tag
    wrong = [
        ("fastapi-app", "ghcr.io/acme/app", tag, "latest"),
        ("fastapi-app", "ghcr.io/acme/app", "latest", digest),
        ("fastapi-app", "UPPER", tag, digest),
        ("nothing", "ghcr.io/acme/app", tag, digest),
        ("../values/fastapi-app", "ghcr.io/acme/app", tag, digest),
        ("fastapi-app", "ghcr.io/acme/app", tag),
    ]
    kept = (here / "images" / "fastapi-app.yaml").read_text()
    for words in wrong:
        done = pin(here, *words)
        assert done.returncode == 2 and done.stderr.startswith("pin-image: "), words
    assert (here / "images" / "fastapi-app.yaml").read_text() == kept
    counted("applications", len(generated_applications()))


LEVEL = "pod-security.kubernetes.io/enforce"


def test_namespaces_are_held_to_restricted() -> None:
    """apps and edges: Pod Security restricted, whoever makes them; gateways, on Azure alone: baseline"""
    levels = {
        which: {n["metadata"]["name"]: n["metadata"]["labels"][LEVEL] for n in of_kind(namespaces(which), "Namespace")}
        for which in ("all", "azure")
    }
    assert levels["all"] == {"apps": "restricted", "edges": "restricted"}
    assert levels["azure"] == levels["all"] | {"gateways": "baseline"}
    for application in applications():
        labels = application["spec"]["syncPolicy"]["managedNamespaceMetadata"]["labels"]
        assert labels[LEVEL] == levels["all"][application["spec"]["destination"]["namespace"]]
    by_argo = generated(one(read("argocd/namespaces.yaml"), "ApplicationSet"))
    paths = {app["metadata"]["labels"]["cloud"]: app["spec"]["source"]["path"] for app in by_argo}
    waves = {wave["metadata"]["name"]: wave["spec"] for wave in read("flux/waves.yaml")}
    for cloud in CLOUDS:
        which = "azure" if cloud == "azure" else "all"
        assert paths[cloud] == f"infra/gitops/namespaces/{which}"
        assert waves[f"namespaces-{cloud}"]["path"] == f"./{paths[cloud]}"
        assert waves[f"namespaces-{cloud}"]["prune"] is False
        for release in of_kind(cloud_releases(cloud), "HelmRelease"):
            assert release["spec"]["install"]["createNamespace"] is False
    for app in by_argo:
        assert app["spec"]["syncPolicy"]["automated"]["prune"] is False


# What the profile lets a pod mount.
RESTRICTED_VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}


def not_restricted(manifests: list[Manifest]) -> list[str]:
    """Why Pod Security `restricted` would refuse pods of these manifests."""
    said = []
    for where, pod in pods(manifests):
        if any(pod.get(key) for key in ("hostNetwork", "hostPID", "hostIPC")):
            said.append(f"{where} is on its node's network or sees its processes")
        for volume in pod.get("volumes", []):
            if not set(volume) - {"name"} <= RESTRICTED_VOLUMES:
                said.append(f"{where} mounts {volume}")
        if set(pod.get("securityContext", {}).get("sysctls", [])):
            said.append(f"{where} sets sysctls")
    for where, pod, container in containers(manifests):
        own = container.get("securityContext", {})
        both = pod.get("securityContext", {}) | own
        if both.get("runAsNonRoot") is not True or both.get("runAsUser") == 0:
            said.append(f"{where} may be root")
        if own.get("allowPrivilegeEscalation") is not False or own.get("privileged"):
            said.append(f"{where} may gain privileges")
        dropped, added = (set(own.get("capabilities", {}).get(key, [])) for key in ("drop", "add"))
        if "ALL" not in dropped or added - {"NET_BIND_SERVICE"}:
            said.append(f"{where} has capabilities")
        if both.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"):
            said.append(f"{where} has no seccomp profile")
        if any("hostPort" in port and port["hostPort"] for port in container.get("ports", [])):
            said.append(f"{where} takes a port of its node")
    return said


def test_pods_pass_restricted(counted) -> None:
    """Everything that clouds and stages render passes Pod Security restricted; an edge on its node's network does not"""
    shipped = [f"{chart}.{cloud}.{stage}" for chart in CHARTS for cloud in CLOUDS for stage in STAGES]
    shipped += [f"{service}.{cloud}.prod" for service in SERVICES for cloud in CLOUDS]
    for title in shipped:
        assert not not_restricted(rendered()[title]), title
    assert not_restricted(rendered()["thalweg-edge.host-network"]), "the check sees nothing"
    counted("value sets", len(shipped))


# What would be a stored credential in a cluster's entry, or in a kubeconfig.
STORED = {"bearerToken", "username", "password", "certData", "keyData", "token", "client-certificate-data"}


def keys(value) -> set[str]:
    if isinstance(value, dict):
        return set(value) | {key for inner in value.values() for key in keys(inner)}
    return {key for inner in value for key in keys(inner)} if isinstance(value, list) else set()


def test_clusters_are_reached_without_stored_keys() -> None:
    """Argo CD and Flux reach every cluster by federation: no token, key or kubeconfig is kept, TLS is verified"""
    known = {}
    for secret in read("argocd/clusters.yaml"):
        assert secret["metadata"]["labels"] == {"argocd.argoproj.io/secret-type": "cluster"}
        data = secret["stringData"]
        config = json.loads(data["config"])
        assert not keys(config) & STORED and config["tlsClientConfig"]["insecure"] is False
        assert set(config) - {"tlsClientConfig"} in ({"awsAuthConfig"}, {"execProviderConfig"})
        known[data["name"]] = config
    assert set(known) == {app["spec"]["destination"]["name"] for app in generated_applications()}
    assert known["gcp-europe-west1"]["execProviderConfig"]["args"] == ["gcp"]
    assert known["azure-southeastasia"]["execProviderConfig"]["env"]["AAD_LOGIN_METHOD"] == "workloadidentity"
    described = read("flux/clusters.yaml")
    for cloud in CLOUDS:
        data = one(described, "ConfigMap", f"cluster-{cloud}")["data"]
        account = one(described, "ServiceAccount", data["serviceAccountName"])
        assert data["provider"] == cloud and account["metadata"]["annotations"]
        assert not keys(data) & STORED
    used = [*of_kind(read("flux/waves.yaml"), "Kustomization")]
    used += [release for cloud in CLOUDS for release in of_kind(cloud_releases(cloud), "HelmRelease")]
    reached = [entry["spec"]["kubeConfig"] for entry in used if "kubeConfig" in entry["spec"]]
    assert len(reached) == len(CLOUDS) * (1 + len(RELEASES))
    names = {entry["configMapRef"]["name"] for entry in reached}
    assert names == {f"cluster-{cloud}" for cloud in CLOUDS}


def test_the_project_covers_every_namespace() -> None:
    """Argo CD's project lets each cloud's objects into the namespaces that they name, and no others"""
    project = one(read("argocd/project.yaml"), "AppProject")["spec"]
    for application in generated_applications():
        cluster, cloud = application["spec"]["destination"]["name"], application["metadata"]["labels"]["cloud"]
        name = application["spec"]["source"]["helm"]["releaseName"]
        lets = {d["namespace"] for d in project["destinations"] if d["name"] in ("*", cluster)}
        used = {m["metadata"].get("namespace", "apps") for m in rendered()[f"{name}.{cloud}.prod"]}
        assert used <= lets, (cluster, used - lets)
        assert ("gateways" in lets) == (cloud == "azure")
