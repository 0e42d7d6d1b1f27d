"""The scripts of delivery, really run, with stubs on the PATH that record what they are asked and answer as a cluster or a cloud would."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess

import pytest
from conftest import INFRA, find_tool, run
from mutation import copied

SCRIPTS = INFRA / "scripts"
DIGEST = "sha256:" + "0123456789abcdef" * 4
OTHER = "sha256:" + "fedcba9876543210" * 4
SHA = "3f786850e387550fdab836ed7e6dc881de23001b"
AWS, GCP, AZURE = "aws-us-east-1", "gcp-europe-west1", "azure-southeastasia"

# Records its words, then answers what the first rule says whose words are all there: `words => exit status and output`.
STUB = r"""#!/usr/bin/env bash
line="$(basename "$0") $*"
printf '%s\n' "$line" >>"$STUBS/calls"
[[ " $* " != *" -f - "* ]] || cat >"$STUBS/stdin"
while IFS= read -r rule; do
    want=${rule%% => *} answer=${rule#* => }
    match=1
    for word in $want; do [[ " $line " == *" $word "* ]] || match=0; done
    if ((match)); then
        read -r code said <<<"$answer"
        printf '%b' "$said"
        exit "$code"
    fi
done <"$STUBS/rules"
"""
TOOLS = ("kubectl", "helm", "aws", "gcloud", "az", "kubelogin", "docker", "cosign", "curl", "ssh", "terraform", "sleep")


class Stubs:
    """The tools of a runner, replaced."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        (folder / "bin").mkdir(parents=True)
        (folder / "rules").write_text("")
        (folder / "calls").write_text("")
        for tool in TOOLS:
            (folder / "bin" / tool).write_text(STUB)
            (folder / "bin" / tool).chmod(0o755)

    def rules(self, *rules: str) -> None:
        (self.folder / "rules").write_text("".join(f"{rule}\n" for rule in rules))

    def real(self, *tools: str) -> None:
        for tool in tools:
            (self.folder / "bin" / tool).unlink()

    def run(self, script: str, *words: str, where: pathlib.Path = SCRIPTS, **env: str) -> subprocess.CompletedProcess[str]:
        (self.folder / "calls").write_text("")
        path = f"{self.folder / 'bin'}:{os.environ['PATH']}"
        return run(where / script, *words, STUBS=str(self.folder), PATH=path, **env)

    def calls(self, tool: str = "") -> list[str]:
        return [line for line in (self.folder / "calls").read_text().splitlines() if line.startswith(tool)]


@pytest.fixture
def stubs(tmp_path: pathlib.Path) -> Stubs:
    return Stubs(tmp_path / "stubs")


@pytest.fixture
def clone(tmp_path: pathlib.Path) -> pathlib.Path:
    (tmp_path / "clone").mkdir()
    made = copied(tmp_path / "clone")
    for key, value in (("user.name", "ci"), ("user.email", "ci@example.com")):
        run("git", "config", key, value, cwd=made)
    run("git", "commit", "--quiet", "--message", "as it is", cwd=made)
    return made


def git(where: pathlib.Path, *words: str) -> str:
    return run("git", *words, cwd=where).stdout.strip()


def test_shell_is_clean(counted) -> None:
    """shellcheck finds nothing; every script opens with what it does, and ends on the first error"""
    files = sorted(SCRIPTS.glob("*.sh"))
    done = run(find_tool("shellcheck"), "-x", *files)
    assert done.returncode == 0, done.stdout
    for file in files:
        lines = file.read_text().splitlines()
        assert file.name == "lib.sh" or (lines[0] == "#!/usr/bin/env bash" and "set -euo pipefail" in lines), file.name
        assert file.name == "lib.sh" or os.access(file, os.X_OK), file.name
        assert any("Exit status" in line for line in lines[:20]) or file.name == "lib.sh", file.name
    counted("scripts", len(files))


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("main",), 0, "production"),
        (("stage",), 0, "staging"),
        (("develop",), 0, "development"),
        (("a-feature",), 0, ""),
        (("a-feature", "development"), 0, "development"),
        (("a-feature", "production"), 2, ""),
        (("main", "prod"), 2, ""),
        ((), 2, ""),
    ],
)
def test_environment(words, code, said, stubs) -> None:
    """Each branch has its environment, a choice wins, production is main's alone; what is no environment is refused"""
    done = stubs.run("environment.sh", *words)
    assert (done.returncode, done.stdout.strip()) == (code, said), done.stderr
    assert code == 0 or done.stderr.startswith("environment: ")


def test_freeze(stubs, tmp_path) -> None:
    """In a freeze nothing is delivered, but by a reason; a file that is gone or unreadable is a freeze, too"""
    file = tmp_path / "freeze.txt"
    file.write_text("# dates\n2026-12-18T16:00Z 2027-01-04T08:00Z few people\n")
    for time, code in (("2026-12-18 15:59Z", 0), ("2026-12-18 16:00Z", 2), ("2027-01-04 07:59Z", 2), ("2027-01-04 08:00Z", 0)):
        done = stubs.run("frozen.sh", time, FREEZE_FILE=str(file))
        assert done.returncode == code and (not code or "few people" in done.stderr), (time, done.stderr)
    done = stubs.run("frozen.sh", "2026-12-24", FREEZE_FILE=str(file), DELIVERY_OVERRIDE="CVE-2026-1")
    assert done.returncode == 0 and "CVE-2026-1" in done.stderr
    file.write_text("18.12. 4.1. few people\n")
    assert stubs.run("frozen.sh", FREEZE_FILE=str(file)).returncode == 2
    assert stubs.run("frozen.sh", FREEZE_FILE=str(tmp_path / "none")).returncode == 2
    assert stubs.run("frozen.sh", "2026-07-01").returncode == 0, "the file that is shipped is readable"


CLUSTERS = {
    "AWS_REGION": "us-east-1",
    "CLUSTER_AWS": "thalweg",
    "GCP_REGION": "europe-west1",
    "GCP_PROJECT": "p",
    "CLUSTER_GCP": "thalweg",
    "AZURE_RESOURCE_GROUP": "g",
    "CLUSTER_AZURE": "thalweg",
}


def test_contexts(stubs) -> None:
    """A context per cluster, named as the waves name it; a variable that is missing is named, and no cloud is asked"""
    done = stubs.run("contexts.sh", "aws", "gcp", "azure", **CLUSTERS)
    assert done.returncode == 0, done.stderr
    calls = "\n".join(stubs.calls())
    for name in (f"--alias {AWS}", f"gke_p_europe-west1_thalweg {GCP}", f"--context {AZURE} --overwrite-existing"):
        assert name in calls, calls
    done = stubs.run("contexts.sh", "gcp", **(CLUSTERS | {"GCP_PROJECT": ""}))
    assert done.returncode == 2 and "GCP_PROJECT is not set" in done.stderr and not stubs.calls()
    assert stubs.run("contexts.sh", "oracle").returncode == 2 and stubs.run("contexts.sh").returncode == 2


def test_smoke_looks_into_each_cloud(stubs) -> None:
    """Each cloud's own context is asked for its own entry, by host name or address; one that does not answer is named"""
    entries = (f"{AWS} get => 0 lb.example.com", f"{GCP} get => 0 192.0.2.7", f"{AZURE} get => 0 2001:db8::7")
    stubs.rules(*entries, "curl => 0 200")
    done = stubs.run("smoke.sh", "edges", "thalweg-edge", "aws", "gcp", "azure")
    assert done.returncode == 0, done.stderr
    for where in ("lb.example.com:443", "192.0.2.7:443", "[2001:db8::7]:443"):
        assert any(f"api.example.com:443:{where}" in call for call in stubs.calls("curl")), stubs.calls("curl")
    assert len({call.split("--context ")[1].split()[0] for call in stubs.calls("kubectl")}) == 3
    stubs.rules(*entries, "api.example.com:443:192.0.2.7:443 => 0 503", "curl => 0 200")
    done = stubs.run("smoke.sh", "edges", "thalweg-edge", "aws", "gcp", SMOKE_TRIES="2")
    assert done.returncode == 1 and f"{GCP}: 192.0.2.7 answers 503" in done.stderr and f"{AWS}: /health is 200" in done.stderr
    stubs.rules(f"{AWS} get => 0 ", "curl => 0 200")
    done = stubs.run("smoke.sh", "edges", "thalweg-edge", "aws")
    assert done.returncode == 1 and "no address yet" in done.stderr


def test_rollback_reaches_every_cloud(stubs) -> None:
    """Both clouds go back to the revision before; with one down the other is back all the same, and the line to type is said"""
    done = stubs.run("rollback.sh", "fastapi-app", "apps", "aws", "gcp")
    assert done.returncode == 0, done.stderr
    assert [call.split(" --namespace")[0] for call in stubs.calls("helm")] == [
        f"helm rollback fastapi-app 0 --kube-context {name}" for name in (AWS, GCP)
    ]
    assert all(" --wait " in call for call in stubs.calls("helm"))
    stubs.rules(f"helm {AWS} => 1 ")
    done = stubs.run("rollback.sh", "fastapi-app", "apps", "aws=7", "gcp=12")
    assert done.returncode == 4 and f"{GCP}: back" in done.stderr
    assert f"  helm rollback fastapi-app 7 --kube-context {AWS}" in done.stderr
    for words in (("fastapi-app", "apps"), ("fastapi-app", "apps", "mars"), ("fastapi-app", "apps", "aws=x"), ("--commit", "main; x")):
        assert stubs.run("rollback.sh", *words).returncode == 2, words


def test_rollback_of_a_commit(stubs, clone) -> None:
    """With GitOps the deploy's commit is reverted; a commit of code is refused, one that was changed since leaves nothing half done"""
    file = clone / "infra/gitops/images/fastapi-app.yaml"
    where = clone / "infra/scripts"
    before = file.read_text()
    file.write_text("image: {repository: a, tag: b, digest: c}\n")
    git(clone, "commit", "--quiet", "--all", "--message", "deploy: 1")
    first = git(clone, "rev-parse", "HEAD")
    done = stubs.run("rollback.sh", "--commit", first, where=where)
    assert done.returncode == 0 and file.read_text() == before, done.stderr
    assert not stubs.calls(), "no cluster is touched"
    (clone / "README.md").write_text("x")
    git(clone, "commit", "--quiet", "--all", "--message", "docs")
    done = stubs.run("rollback.sh", "--commit", git(clone, "rev-parse", "HEAD"), where=where)
    assert done.returncode == 2 and "pull request" in done.stderr
    done = stubs.run("rollback.sh", "--commit", first, where=where)
    assert done.returncode == 1 and "pin-image.sh" in done.stderr
    assert not git(clone, "status", "--porcelain", "--untracked-files=no")


IMAGE = {"IMAGE_NAME": "ghcr.io/acme/fastapi-app", "IMAGE_DIGEST": DIGEST, "CI_COMMIT_SHA": SHA}


def test_promotion(stubs) -> None:
    """Three replicas of the canary's digest in each cloud, then the canary is gone; a cloud that fails takes all back to what ran"""
    revisions = (f"helm metadata {AWS} => 0 {{\"revision\":7}}", f"helm metadata {GCP} => 0 {{\"revision\":12}}")
    stubs.rules(*revisions)
    done = stubs.run("promote.sh", "aws", "gcp", **IMAGE)
    assert done.returncode == 0, done.stderr
    upgrades = stubs.calls("helm upgrade")
    assert len(upgrades) == 2 and all(f"image.digest={DIGEST}" in u and "autoscaling.minReplicas=3" in u for u in upgrades)
    assert [call.split()[4] for call in stubs.calls("helm uninstall fastapi-app-canary")] == [AWS, GCP]
    stubs.rules(*revisions, f"helm upgrade {GCP} => 1 ")
    done = stubs.run("promote.sh", "aws", "gcp", **IMAGE)
    assert done.returncode == 1, done.stderr
    assert [call.split()[3] for call in stubs.calls("helm rollback")] == ["7", "12"]
    assert not stubs.calls("helm uninstall"), "the canary stays"
    stubs.rules(revisions[0], f"helm metadata {GCP} => 1 ")
    done = stubs.run("promote.sh", "aws", "gcp", **IMAGE)
    assert done.returncode == 2 and not stubs.calls("helm upgrade"), "nothing is changed when one cloud does not answer"
    assert stubs.run("promote.sh", "aws", **(IMAGE | {"IMAGE_DIGEST": "latest"})).returncode == 2


def test_publishing(stubs) -> None:
    """Every registry gets the digest that was scanned, and each is signed; a registry that holds another one stops it unsigned"""
    stubs.rules(f"docker inspect => 0 {DIGEST}")
    done = stubs.run("publish.sh", "ecr/app", DIGEST, SHA, "gar/app", "acr/app", "hub/app")
    assert done.returncode == 0, done.stderr
    assert stubs.calls("cosign") == [f"cosign sign --yes {where}/app@{DIGEST}" for where in ("ecr", "gar", "acr", "hub")]
    stubs.rules(f"docker inspect acr/app:{SHA} => 0 {OTHER}", f"docker inspect => 0 {DIGEST}")
    done = stubs.run("publish.sh", "ecr/app", DIGEST, SHA, "gar/app", "acr/app")
    assert done.returncode == 1 and f"acr/app:{SHA} is {OTHER}" in done.stderr and not stubs.calls("cosign")
    assert stubs.run("publish.sh", "ecr/app", "latest", SHA, "gar/app").returncode == 2
    assert stubs.run("publish.sh", "ecr/app", DIGEST, "v1", "gar/app").returncode == 2


def test_only_what_is_signed_is_pinned(stubs, clone) -> None:
    """An image without our signature, or a missing one, leaves everything as it was; all signed is one commit, and no other file"""
    where, before = clone / "infra/scripts", git(clone, "rev-parse", "HEAD")
    told = {"GITHUB_REPOSITORY": "acme/thalweg"}
    for rules in (
        (f"docker inspect => 0 {DIGEST}", f"cosign verify ecr/thalweg-edge@{DIGEST} => 1 "),
        (f"docker inspect => 0 {DIGEST}", f"cosign verify-attestation ecr/thalweg-edge@{DIGEST} => 1 "),
        (f"docker inspect ecr/thalweg-edge:{SHA} => 1 ", f"docker inspect => 0 {DIGEST}"),
        ("docker inspect => 0 <none>",),
    ):
        stubs.rules(*rules)
        done = stubs.run("pin.sh", "ecr", SHA, "fastapi-app", "thalweg-edge", where=where, **told)
        assert done.returncode == 1, done.stderr
        assert git(clone, "rev-parse", "HEAD") == before and not git(clone, "status", "--porcelain", "--untracked-files=no")
    stubs.rules(f"docker inspect => 0 {DIGEST}")
    done = stubs.run("pin.sh", "ecr", SHA, "fastapi-app", "thalweg-edge", where=where, **told)
    assert done.returncode == 0, done.stderr
    identity = "https://github.com/acme/thalweg/.github/workflows/build.yml@refs/heads/main"
    assert all(f"--certificate-identity {identity} " in call for call in stubs.calls("cosign"))
    changed = git(clone, "show", "--format=%s", "--name-only").split()
    assert changed == ["deploy:", SHA[:12], "infra/gitops/images/fastapi-app.yaml", "infra/gitops/images/thalweg-edge.yaml"]
    assert stubs.run("pin.sh", "ecr", SHA, "fastapi-app", "thalweg-edge", where=where, **told).returncode == 0, "again"
    assert stubs.run("verify-image.sh", "ecr/app:latest", **told).returncode == 2


def test_a_stage_has_images_of_its_own(stubs, clone) -> None:
    """STAGE: signed by the build on that stage's branch, written into that stage's files and no other; a stage that is none is refused"""
    where, told = clone / "infra/scripts", {"GITHUB_REPOSITORY": "acme/thalweg"}
    for stage, branch in (("staging", "stage"), ("development", "develop")):
        stubs.rules(f"docker inspect => 0 {DIGEST}")
        done = stubs.run("pin.sh", "ecr", SHA, "fastapi-app", where=where, STAGE=stage, **told)
        assert done.returncode == 0, done.stderr
        identity = f"https://github.com/acme/thalweg/.github/workflows/build.yml@refs/heads/{branch}"
        assert all(f"--certificate-identity {identity} " in call for call in stubs.calls("cosign"))
        assert git(clone, "show", "--format=", "--name-only").split() == [f"infra/gitops/stages/{stage}/images/fastapi-app.yaml"]
    before = git(clone, "rev-parse", "HEAD")
    for name, words in (("pin.sh", ("ecr", SHA, "fastapi-app")), ("verify-image.sh", (f"ecr/app@{DIGEST}",))):
        assert stubs.run(name, *words, where=where, STAGE="canary", **told).returncode == 2
    assert git(clone, "rev-parse", "HEAD") == before


def test_a_wave_is_waited_for(stubs) -> None:
    """Synced and healthy at this commit, and no older one; a failed hook ends it at once, silence when the time is over"""
    words = ("azure", SHA, "fastapi-app")
    stubs.rules(f"kubectl => 0 {SHA} Synced Healthy Succeeded done")
    assert stubs.run("await-wave.sh", *words).returncode == 0
    assert "--context hub --namespace argocd get application fastapi-app-azure" in stubs.calls("kubectl")[0]
    for state in (f"{'0' * 40} Synced Healthy Succeeded", f"{SHA} Synced Progressing Running", f"{SHA} OutOfSync Healthy Succeeded", ""):
        stubs.rules(f"kubectl => 0 {state}")
        done = stubs.run("await-wave.sh", *words, WAVE_SECONDS="0")
        assert done.returncode == 1 and "is not there" in done.stderr, (state, done.stderr)
    stubs.rules(f"kubectl => 0 {SHA} OutOfSync Degraded Failed gate: stopped")
    done = stubs.run("await-wave.sh", *words)
    assert done.returncode == 1 and "failed: gate: stopped" in done.stderr


def test_a_mark_stops_nothing(stubs) -> None:
    """The mark goes to Grafana, its token in no argument; without Grafana, or with a sick one, the delivery goes on"""
    told = {"GRAFANA_URL": "https://grafana.example.com", "GRAFANA_TOKEN": "only-for-this-check"}
    assert stubs.run("annotate.sh", 'a "text"', "deploy", "aws", **told).returncode == 0
    (call,) = stubs.calls("curl")
    assert json.loads(call.split("--data ")[1].split(" https://")[0]) == {"text": 'a "text"', "tags": ["deploy", "aws"]}
    assert "only-for-this-check" not in call
    stubs.rules("curl => 22 ")
    assert stubs.run("annotate.sh", "t", "deploy", **told).returncode == 0
    assert stubs.run("annotate.sh", "t", "deploy", GRAFANA_URL="").returncode == 0 and not stubs.calls("curl")


def test_only_the_plan_that_was_read_is_applied(stubs, tmp_path, clone) -> None:
    """apply refuses another commit's plan, another place's, a changed one and none; drift fails; a wrong place asks nobody"""
    where, place = clone / "infra/scripts", "development/azure-southeastasia"
    shutil.copy(stubs.folder / "bin/terraform", stubs.folder / "bin/stub")
    (stubs.folder / "bin/terraform").write_text(
        '#!/usr/bin/env bash\nfor word in "$@"; do case $word in -out=*) echo made >"${word#-out=}" ;; esac; done\nexec "$(dirname "$0")/stub" "$@"\n'
    )
    told = {"PLAN": str(tmp_path / "plan"), "STATE_BUCKET": "b"}

    def step(name: str, at: str = place, **more: str) -> subprocess.CompletedProcess[str]:
        return stubs.run("terraform.sh", name, at, where=where, **(told | more))

    assert step("apply").returncode == 2, "there is no plan"
    stubs.rules("stub plan => 2 ")
    output = tmp_path / "output"
    assert step("plan", GITHUB_OUTPUT=str(output)).returncode == 0 and output.read_text() == "changes=true\n"
    assert any("init -lockfile=readonly -backend-config=bucket=b" in call for call in stubs.calls())
    assert step("apply").returncode == 0 and any(call.endswith(f"apply -lock-timeout=5m {tmp_path}/plan/plan") for call in stubs.calls())
    assert step("apply", "development/gcp-europe-west1").returncode == 2
    (tmp_path / "plan/plan").write_text("another\n")
    assert "not the one that was read" in step("apply").stderr and not stubs.calls()
    assert step("plan").returncode == 0
    git(clone, "commit", "--quiet", "--allow-empty", "--message", "later")
    assert step("apply").returncode == 2, "of another commit"
    assert step("drift").returncode == 3
    stubs.rules("stub plan => 1 ")
    assert step("plan").returncode == 1
    for wrong in ("development/mars", "../modules", "development"):
        assert step("plan", wrong).returncode == 2 and not stubs.calls()


def test_deployment_over_ssh(stubs, tmp_path) -> None:
    """kubeadm: the overlay of the environment with this digest, by a host key that is known; pods that fail are taken back"""
    stubs.real("kubectl")
    told = {"CONTROL_PLANE_IP": "192.0.2.3", "CONTROL_PLANE_KEY": "ssh-ed25519 AAAA", "SSH_PRIVATE_KEY": "only-for-this-check"}
    image = f"docker.io/acme/fastapi-app@{DIGEST}"
    done = stubs.run("deploy-kubeadm.sh", "production", image, **told)
    assert done.returncode == 0, done.stderr
    sent = (stubs.folder / "stdin").read_text()
    assert f"image: {image}\n" in sent and "namespace: prod" in sent and sent.count("image: ") == 1
    assert all("StrictHostKeyChecking=yes" in call and "deploy@192.0.2.3" in call for call in stubs.calls("ssh"))
    assert "only-for-this-check" not in "".join(stubs.calls())
    stubs.rules("status => 1 ", "undo => 1 ")
    assert stubs.run("deploy-kubeadm.sh", "staging", image, **told).returncode == 4
    # The status after the undo is well again: the first status alone fails.
    stubs.rules("status => 1 ")
    done = stubs.run("deploy-kubeadm.sh", "staging", image, **told)
    assert done.returncode == 4 and "undo deployment/fastapi-app" in "".join(stubs.calls())
    for words, env in ((("production", "app:latest"), told), (("prod", image), told), (("production", image), told | {"CONTROL_PLANE_KEY": ""})):
        assert stubs.run("deploy-kubeadm.sh", *words, **env).returncode == 2 and not stubs.calls(), words
