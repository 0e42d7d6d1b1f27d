"""The workflows: valid, without a finding, with no more rights than each job needs, and running what this repository has."""

from __future__ import annotations

import json
import pathlib
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from conftest import INFRA, ROOT, find_tool, run

FOLDER = ROOT / ".github" / "workflows"
FILES = sorted(FOLDER.glob("*.y*ml"))
GITLAB = ROOT / ".gitlab-ci.yml"
CLOUDS = ("azure", "aws", "gcp")


def load(file: pathlib.Path) -> dict[str, Any]:
    told = yaml.safe_load(file.read_text())
    # YAML 1.1 takes the key `on` for a boolean.
    return {("on" if key is True else key): value for key, value in told.items()}


def jobs() -> Iterator[tuple[str, dict[str, Any]]]:
    for file in FILES:
        for name, job in load(file)["jobs"].items():
            yield f"{file.name}: {name}", job


def test_actionlint_finds_nothing(counted) -> None:
    """actionlint, with shellcheck on every script in it, finds nothing"""
    done = run(find_tool("actionlint"), "-shellcheck", find_tool("shellcheck"), *FILES)
    assert done.returncode == 0, done.stdout
    counted("workflows", len(FILES))


def test_zizmor_finds_nothing() -> None:
    """zizmor finds nothing: no injection, no stored credential, no right too many; what is ignored says why"""
    done = run(find_tool("zizmor"), "--offline", "--no-progress", "--format", "json", FOLDER)
    assert done.returncode == 0 and json.loads(done.stdout) == [], done.stdout[:2000] + done.stderr
    ignored = [line for file in FILES for line in file.read_text().splitlines() if "zizmor: ignore" in line]
    assert len(ignored) <= 2 and all(len(line.split("]")[-1]) > 20 for line in ignored), ignored


@pytest.mark.parametrize("file", [*FILES, GITLAB], ids=lambda file: file.name)
def test_schema(file) -> None:
    """each pipeline is what its platform's schema says"""
    kind = ("vendor.gitlab-ci", "--data-transform", "gitlab-ci") if file == GITLAB else ("vendor.github-workflows",)
    done = run(find_tool("check-jsonschema"), "--builtin-schema", *kind, file)
    assert done.returncode == 0, done.stdout


def test_rights_are_given_by_the_job(counted) -> None:
    """No right at the top; each job names its own; only deliveries write, and only contents; each ends by itself"""
    for file in FILES:
        assert load(file)["permissions"] == {}, file.name
        assert load(file).get("concurrency") or "workflow_call" in load(file)["on"], f"{file.name}: two at once"
    writers = set()
    for name, job in jobs():
        assert job["permissions"], name
        assert set(job["permissions"].items()) <= {("contents", "read"), ("contents", "write"), ("id-token", "write")}, name
        if job["permissions"]["contents"] == "write":
            writers.add(name)
            reviewed = {"production", "${{ needs.where.outputs.environment }}"}
            assert job["environment"] in reviewed, f"{name} writes without a reviewer"
        assert "uses" in job or job["timeout-minutes"] <= 180, name
    assert writers == {"deliver.yml: pin", "canary.yml: canary", "rollback.yml: rollback"}
    counted("jobs", len(list(jobs())))


def test_forks_get_no_secret() -> None:
    """What a fork's change runs has no secret, no identity and no environment; no workflow runs a fork's code with rights"""
    for file in FILES:
        on = load(file)["on"]
        assert not {"pull_request_target", "workflow_run", "issue_comment"} & set(on), file.name
        if "pull_request" in on:
            assert "secrets." not in file.read_text() and "id-token" not in file.read_text(), file.name
            assert not [name for name, job in load(file)["jobs"].items() if "environment" in job or "uses" in job]
    secret_readers = {name for name, job in jobs() if "secrets." in str(job)}
    assert all("environment" in job for name, job in jobs() if name in secret_readers), secret_readers


def uses() -> set[tuple[str, str, str]]:
    text = "".join(file.read_text() for file in FILES)
    every = re.findall(r"uses: (\S+)", text)
    pinned = re.findall(r"uses: ([\w.-]+/[\w./-]+)@([0-9a-f]{40}) # (\S+)", text)
    assert len(every) == len(pinned) + len([one for one in every if one.startswith("$/.github/workflows/")]), "an action without a commit"
    return set(pinned)


def test_actions_are_pinned_by_commit(counted) -> None:
    """Actions of others are those of versions.yaml, by commit, and no other; the commits are the ones that were looked up"""
    listed = yaml.safe_load((INFRA / "versions.yaml").read_text())["actions"]
    assert uses() == {(one["name"], one["commit"], one["version"]) for one in listed}
    table = ROOT.parent / "shared" / "action-pins.md"
    if table.exists():
        known = set(re.findall(r"^\| (\S+) \| (v\S+) \| ([0-9a-f]{40}) \|", table.read_text(), re.M))
        assert {(name, version, commit) for name, commit, version in uses()} <= known
    counted("actions", len(listed))


def test_scripts_exist_and_are_used(counted) -> None:
    """Every script that a pipeline names exists and can be run; every script of delivery is named by a pipeline, a script or the page"""
    text = "".join(file.read_text() for file in [*FILES, GITLAB])
    named = set(re.findall(r"infra/scripts/[\w-]+\.(?:sh|py)", text))
    assert named and all((ROOT / name).exists() for name in named), named
    page = (ROOT / "docs" / "delivery.md").read_text()
    everything = text + page + "".join(file.read_text() for file in (INFRA / "scripts").iterdir() if file.is_file())
    for file in (INFRA / "scripts").glob("*.*"):
        assert everything.count(file.name) > (1 if file.name in file.read_text() else 0), f"nobody uses {file.name}"
    counted("scripts", len(named))


@pytest.mark.parametrize("name", ["deliver.yml", "ci-cd.yaml"])
def test_branches_have_environments(name: str) -> None:
    """Pushes to main, stage and develop deliver, and a person may choose: the map is environment.sh's, the choices are environments"""
    on = load(FOLDER / name)["on"]
    assert on["push"]["branches"] == ["main", "stage", "develop"]
    choice = on["workflow_dispatch"]["inputs"]["environment"]
    assert choice["type"] == "choice" and choice["options"] == ["development", "staging", "production"]
    assert "environment.sh" in (FOLDER / name).read_text()


def test_waves_come_one_after_another() -> None:
    """Checks before the build, the build before the pin, then the canary cloud, then one cloud after another, on GitLab, too"""
    told = load(FOLDER / "deliver.yml")["jobs"]
    needs = {name: {job["needs"]} if isinstance(job.get("needs"), str) else set(job.get("needs", [])) for name, job in told.items()}
    assert needs["build"] == {"where", "checks"} and needs["pin"] == {"where", "build"}
    assert (needs["azure"], needs["aws"], needs["gcp"]) == ({"where", "pin"}, {"pin", "azure"}, {"pin", "aws"})
    assert told["azure"]["if"] == "needs.where.outputs.environment == 'production'", "those after it are skipped with it"
    assert not {"if"} & (told["aws"].keys() | told["gcp"].keys())
    assert [told[cloud]["with"]["cloud"] for cloud in CLOUDS] == list(CLOUDS)
    gitlab = yaml.safe_load(GITLAB.read_text())
    assert gitlab["stages"] == ["check", "build", "pin", *CLOUDS]
    assert (gitlab["aws"]["needs"], gitlab["gcp"]["needs"]) == (["pin", "azure"], ["pin", "aws"])


def test_one_image_is_built_scanned_and_signed() -> None:
    """Two architectures, tag = commit, provenance and bill of materials; scanned before it is copied, signed and attested by digest"""
    steps = load(FOLDER / "build.yml")["jobs"]["image"]["steps"]
    at = {}
    for number, step in enumerate(steps):
        at.setdefault((step.get("uses", "").split("@")[0] or step["run"].split()[0]), number)
    build = steps[at["docker/build-push-action"]]["with"]
    assert build["platforms"] == "linux/amd64,linux/arm64" and build["push"] is True
    assert build["tags"].endswith(":${{ github.sha }}") and build["provenance"] == "mode=max" and build["sbom"] is True
    scan = steps[at["aquasecurity/trivy-action"]]["with"]
    assert scan["exit-code"] == "1" and scan["image-ref"].endswith("@${{ steps.build.outputs.digest }}")
    order = [at[name] for name in ("docker/build-push-action", "aquasecurity/trivy-action", "infra/scripts/publish.sh", "cosign")]
    assert order == sorted(order), "copied or signed before it was scanned"
    targets = steps[at["infra/scripts/publish.sh"]]
    assert all(name in targets["run"] for name in ("$GAR", "$ACR", "$HUB")) and '"$ECR" "$DIGEST"' in targets["run"]


def test_plan_and_apply_are_two_identities() -> None:
    """plan runs as ENV-plan, apply as ENV behind its reviewers, with the plan of the same run; drift looks every night at each place"""
    step = load(FOLDER / "terraform.yml")["jobs"]["step"]
    assert step["environment"] == "${{ inputs.step == 'apply' && inputs.environment || format('{0}-plan', inputs.environment) }}"
    told = load(FOLDER / "infrastructure.yml")
    assert told["jobs"]["apply"]["needs"] == "plan"
    places = told["on"]["workflow_dispatch"]["inputs"]["place"]["options"]
    for environment in ("development", "staging", "production"):
        folder = INFRA / "terraform/environments" / environment
        assert sorted(places) == sorted(place.name for place in folder.iterdir() if place.is_dir()), environment
    drift = load(FOLDER / "drift.yml")
    assert drift["jobs"]["plan"]["strategy"]["matrix"]["place"] == places and "schedule" in drift["on"]
    # A job has one environment, and the three clouds each trust it by that name.
    for file in ("aws/identities.tf", "gcp/pipeline.tf", "azure/pipeline.tf"):
        text = (INFRA / "terraform/bootstrap" / file).read_text()
        assert "-plan" in text or '"plan"' in text, file
        assert "-publish" in text or '"publish"' in text, file
    assert load(FOLDER / "build.yml")["jobs"]["image"]["environment"] == "${{ inputs.environment }}-publish"


def test_a_stage_is_pinned_by_its_own_branch() -> None:
    """Each branch pins the images of its own stage into its own files; no branch writes another's"""
    pin = load(FOLDER / "deliver.yml")["jobs"]["pin"]
    pairs = re.search(r"fromJSON\('(\[.*?\])'\)", pin["if"])[1]
    told = dict(pair.split() for pair in yaml.safe_load(pairs))
    for branch, stage in told.items():
        assert run(INFRA / "scripts" / "environment.sh", branch).stdout.strip() == stage
    assert set(told.values()) == {"production", "staging", "development"}
    assert pin["environment"] == "${{ needs.where.outputs.environment }}", "whose reviewers are asked"
    step = next(step for step in pin["steps"] if step.get("id") == "pin")
    assert step["env"]["STAGE"] == pin["environment"] and 'git push origin "HEAD:$GITHUB_REF_NAME"' in step["run"]
    checkout = next(step for step in pin["steps"] if step.get("uses", "").startswith("actions/checkout@"))
    assert checkout["with"]["ref"] == "${{ github.ref_name }}"
