"""Third-party pins: all in infra/versions.yaml, as they are in the files, and none past the end of its support."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import yaml
from conftest import INFRA, ROOT, run
from k8s import HELM, VERSIONS

FILE = INFRA / "versions.yaml"
SOON = datetime.timedelta(days=45)


class Pin(NamedTuple):
    name: str
    version: str
    where: str


def told() -> dict[str, list[dict[str, Any]]]:
    return yaml.safe_load(FILE.read_text(encoding="utf-8"))


def tracked() -> list[str]:
    listed = run("git", "ls-files", "--cached", "--others", "--exclude-standard", "infra", "app").stdout.splitlines()
    return [name for name in listed if (ROOT / name).is_file() and not name.startswith("infra/policy/bad/")]


def split(image: str) -> tuple[str, str]:
    name, _, version = image.rpartition(":")
    return name, version


def images(name: str, text: str) -> Iterator[tuple[str, str]]:
    """(image, tag) that a file pins: of pods, of stages that are not stages of its own, of commands to type."""
    if re.search(r"(^|/)Dockerfile$", name):
        for image in re.findall(r"^FROM (\S+)", text, re.MULTILINE):
            yield split(image)
    elif name.startswith("infra/kustomize/") and name.endswith(".yaml"):
        for image in re.findall(r"^\s*(?:- )?image: *[\"']?([^\s\"']+:[^\s\"']+)", text, re.MULTILINE):
            yield split(image)
    elif name.endswith(".md"):
        for image in re.findall(r"--image=(\S+:\S+)", text):
            yield split(image)


def helm_images(values: Any) -> Iterator[tuple[str, str]]:
    """(repository, tag) of images in a chart's values that are not this repository's own, which have the chart's version."""
    if isinstance(values, dict):
        if values.get("repository") and values.get("tag"):
            yield values["repository"], values["tag"]
        for value in values.values():
            yield from helm_images(value)


def revisions(text: str) -> Iterator[tuple[str, str]]:
    """(chart or repository, revision) of Argo CD's sources that are not this repository's."""
    for document in yaml.safe_load_all(text):
        if not document or document.get("kind") != "Application":
            continue
        spec = document["spec"]
        for source in spec.get("sources") or [spec["source"]]:
            if source["targetRevision"] != "HEAD":
                yield source.get("chart", source["repoURL"]), source["targetRevision"]


def found() -> set[Pin]:
    pins = set()
    for name in tracked():
        text = (ROOT / name).read_text(encoding="utf-8", errors="replace")
        pins |= {Pin(*pin, name) for pin in images(name, text)}
        if re.fullmatch(r"infra/helm/[a-z-]+/values[a-z-]*\.yaml", name):
            pins |= {Pin(*pin, name) for pin in helm_images(yaml.safe_load(text))}
        if name.startswith("infra/gitops/argocd/") and name.endswith(".yaml"):
            pins |= {Pin(*pin, name) for pin in revisions(text)}
    return pins


def test_every_pin_is_listed(counted) -> None:
    """What images, charts and repositories the files pin is what versions.yaml says, no more and no less"""
    listed = [Pin(pin["name"], pin["version"], pin["where"]) for pin in told()["pins"]]
    assert len(listed) == len(set(listed))
    assert set(listed) == found(), f"differs: {sorted(set(listed) ^ found())}"
    assert all(pin.version not in ("", "latest") for pin in listed)
    counted("pins", len(listed))


def late(entries: list[dict[str, Any]], today: datetime.date) -> list[str]:
    """Those whose date is past, in words."""
    said = []
    for entry in entries:
        name = entry.get("name", "Kubernetes")
        (kind,) = {"ends", "review"} & entry.keys()
        if today > entry[kind]:
            said.append(f"{name} {entry['version']}: {kind} {entry[kind]} is past; pin a newer one in {FILE.name}")
    return said


def test_nothing_is_past_its_support(counted, record_property) -> None:
    """No pin and no version of Kubernetes is past its end, and none of ours past its review"""
    entries = [*told()["kubernetes"], *told()["pins"], *told()["actions"]]
    today = datetime.datetime.now(datetime.UTC).date()
    assert not late(entries, today), "\n".join(late(entries, today))
    near = [line.split(":")[0] for line in late(entries, today + SOON)]
    if near:
        record_property("counted", f"within {SOON.days} days: {', '.join(near)}")
    counted("dates", len(entries))


def test_a_pin_that_is_past_is_named() -> None:
    """The day after its date a pin is named with what to do, the day itself it is not"""
    day = datetime.date(2026, 7, 31)
    old = [{"name": "prom/prometheus", "version": "v3.5.0", "ends": day}, {"name": "x", "version": "1", "review": day}]
    assert late(old, day) == []
    assert [line.split(":")[0] for line in late(old, day + datetime.timedelta(days=1))] == [
        "prom/prometheus v3.5.0",
        "x 1",
    ]


def test_kubernetes_versions_are_the_ones_under_test() -> None:
    """The versions listed are those the manifests are held against; charts and page ask for the oldest"""
    versions = [entry["version"] for entry in told()["kubernetes"]]
    assert tuple(versions) == VERSIONS and len(versions) == 3
    for chart in ("lib", "fastapi-app", "thalweg-edge"):
        about = yaml.safe_load((HELM / chart / "Chart.yaml").read_text(encoding="utf-8"))
        assert about["kubeVersion"] == f">={versions[0]}.0-0", chart
    page = (ROOT / "docs" / "clouds.md").read_text(encoding="utf-8")
    assert f"Kubernetes {versions[0]} or newer" in page
