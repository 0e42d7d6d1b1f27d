"""kubeadm's machines: what they are told is valid and holds no secret; their scripts do what they say, also in failure."""

from __future__ import annotations

import base64
import json
import pathlib
import re
import stat
import tarfile
from typing import Any

import jsonschema
import pytest
import yaml
from conftest import ROOT, find_kit, find_tool, run, skip_loudly
from kubeadm import FILES, FINGERPRINT, Bench, files, machines, told
from terraform import ADDRESSES

PLAN = ADDRESSES["development"]["kubeadm"]
SCRIPTS = sorted(FILES.glob("*.sh"))
ARGUMENTS = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["name", "value"],
        "additionalProperties": False,
        "properties": {"name": {"type": "string"}, "value": {"type": "string"}},
    },
}


def only(required: list[str], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": required, "additionalProperties": False, "properties": properties}


TEXT = {"type": "string"}
HEAD = {"apiVersion": {"const": "kubeadm.k8s.io/v1beta4"}, "kind": TEXT}
VOLUME = only(
    ["name", "hostPath", "mountPath"],
    name=TEXT,
    hostPath=TEXT,
    mountPath=TEXT,
    readOnly={"type": "boolean"},
    pathType=TEXT,
)
COMPONENT = only([], extraArgs=ARGUMENTS, extraVolumes={"type": "array", "items": VOLUME})
NODE = only([], criSocket={"type": "string", "pattern": "^unix://"}, kubeletExtraArgs=ARGUMENTS, name=TEXT)
HASHES = {"type": "array", "minItems": 1, "items": {"type": "string", "pattern": "^sha256:[0-9a-f]{64}$"}}
TOKEN = only(["token", "apiServerEndpoint", "caCertHashes"], token=TEXT, apiServerEndpoint=TEXT, caCertHashes=HASHES)
# kubeadm's own types (v1beta4) as far as they are used here; what is not listed is refused.
KUBEADM = {
    "InitConfiguration": only(
        ["localAPIEndpoint"],
        **HEAD,
        localAPIEndpoint=only(["advertiseAddress"], advertiseAddress=TEXT, bindPort={"type": "integer"}),
        nodeRegistration=NODE,
    ),
    "ClusterConfiguration": only(
        ["kubernetesVersion", "networking"],
        **HEAD,
        clusterName=TEXT,
        kubernetesVersion={"type": "string", "pattern": "^(stable-1|v1)\\.[0-9]+"},
        controlPlaneEndpoint=TEXT,
        networking=only(["podSubnet"], dnsDomain=TEXT, podSubnet=TEXT, serviceSubnet=TEXT),
        apiServer=COMPONENT,
        controllerManager=COMPONENT,
        scheduler=COMPONENT,
    ),
    "JoinConfiguration": only(
        ["discovery"], **HEAD, discovery=only(["bootstrapToken"], bootstrapToken=TOKEN), nodeRegistration=NODE
    ),
}
# What many examples still show: arguments as a map, as in v1beta3.
OUTDATED = """
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kubernetesVersion: v1.36.0
networking: { podSubnet: 100.70.0.0/17 }
apiServer: { extraArgs: { profiling: "false" } }
"""


@pytest.fixture
def bench(tmp_path: pathlib.Path) -> Bench:
    find_tool("jq")
    return Bench(tmp_path)


def kubeadm(text: str) -> dict[str, Any]:
    """The documents of a kubeadm config by kind; those of kubeadm itself are checked."""
    found = {one["kind"]: one for one in yaml.safe_load_all(text)}
    for kind, document in found.items():
        if kind in KUBEADM:
            jsonschema.validate(document, KUBEADM[kind])
    return found


# --- what machines are told ---------------------------------------------------------------------------------------------


def cloud_init() -> dict[str, Any]:
    schema = ROOT / ".venv-infra" / "cloud-init.json"
    if not schema.exists():
        skip_loudly("cloud-init-schema", "scripts/setup-infra.sh could not download Debian's cloud-init")
    return json.loads(schema.read_text())


def wrong(document: dict[str, Any]) -> list[str]:
    """What cloud-init's schema says against a document; keys that no module of cloud-init has are wrong, too."""
    schema = cloud_init()
    known = {key for module in schema["$defs"].values() for key in module.get("properties", {})}
    found = [error.message for error in jsonschema.Draft4Validator(schema).iter_errors(document)]
    return found + [f"{key}: no such key" for key in document if key not in known]


def test_cloud_init_is_valid(counted) -> None:
    """what each machine is told is valid by cloud-init's own schema, and mistakes are noticed"""
    assert sorted(machines()) == ["control-plane", "worker-1", "worker-2"]
    for machine, text in machines().items():
        assert text.startswith("#cloud-config\n") and len(text) < 256 * 1024, machine
        assert not wrong(told(machine)), machine
    assert wrong({"write_files": [{"contents": "x"}]}) and wrong({"run_cmd": []}) and wrong({"packages": [1]})
    counted("machines", len(machines()))


def test_nothing_told_is_secret() -> None:
    """no token, password or private key is in what machines are told: every process there can read it"""
    secret = re.compile(r"\b[a-z0-9]{6}\.[a-z0-9]{16}\b|PRIVATE KEY|password|sha256:[0-9a-f]{64}")
    digest = re.compile(r"@sha256:[0-9a-f]{64}")
    assert not [machine for machine, text in machines().items() if secret.search(digest.sub("", text))]
    assert secret.search("abcdef.0123456789abcdef")


def test_units_are_valid(tmp_path: pathlib.Path, counted) -> None:
    """systemd accepts every unit and every calendar, and each unit starts a script that the machine is given"""
    tool, seen = find_tool("systemd-analyze"), 0
    for machine in ("control-plane", "worker-1"):
        given = files(machine)
        units = {path: text for path, text in given.items() if path.startswith("/etc/systemd/system/")}
        seen += len(units)
        for path, text in units.items():
            assert [script for script in re.findall(r"ExecStart=(\S+)", text) if script not in given] == [], path
            for calendar in re.findall(r"OnCalendar=(.*)", text):
                assert run(tool, "calendar", calendar).returncode == 0, calendar
            unit = tmp_path / pathlib.Path(path).name
            unit.write_text(text.replace("/usr/local/lib/kubeadm", str(FILES)))
            done = run(tool, "verify", "--recursive-errors=no", unit)
            assert done.returncode == 0 and str(unit) not in done.stderr, done.stderr
    counted("units", seen)


def test_scripts_pass_shellcheck(counted) -> None:
    """shellcheck has nothing against the machines' scripts"""
    done = run(find_tool("shellcheck"), "--external-sources", "--source-path", FILES, *SCRIPTS)
    assert done.returncode == 0, done.stdout
    counted("scripts", len(SCRIPTS))


def test_kubeadm_config_is_of_today() -> None:
    """the config is kubeadm's v1beta4, of a supported minor, with the addresses of the one plan"""
    config = kubeadm(files("control-plane")["/etc/kubeadm/init.yaml"])
    assert set(config) == {
        "InitConfiguration",
        "ClusterConfiguration",
        "KubeletConfiguration",
        "KubeProxyConfiguration",
    }
    cluster, kubelet = config["ClusterConfiguration"], config["KubeletConfiguration"]
    assert config["InitConfiguration"]["localAPIEndpoint"]["advertiseAddress"] == "10.160.0.3"
    assert (cluster["networking"]["podSubnet"], cluster["networking"]["serviceSubnet"]) == (
        PLAN["pods"],
        PLAN["services"],
    )
    assert cluster["kubernetesVersion"] in {"stable-1.35", "stable-1.36", "stable-1.37"}
    assert kubelet["readOnlyPort"] == 0 and kubelet["authentication"]["anonymous"]["enabled"] is False
    arguments = {one["name"]: one["value"] for one in cluster["apiServer"]["extraArgs"]}
    mounted = {one["hostPath"] for one in cluster["apiServer"]["extraVolumes"]}
    for name in ("encryption-provider-config", "audit-policy-file"):
        assert str(pathlib.Path(arguments[name]).parent) in mounted, f"{name} is not mounted"
    assert arguments["audit-policy-file"] in files("control-plane")
    with pytest.raises(jsonschema.ValidationError):
        kubeadm(OUTDATED)


def test_network_and_policies(tmp_path: pathlib.Path, counted) -> None:
    """Flannel has the pods' range, kube-router enforces policies and nothing else; both are valid manifests"""
    addons = {path: text for path, text in files("control-plane").items() if path.startswith("/etc/kubeadm/addons/")}
    documents = [one for text in addons.values() for one in yaml.safe_load_all(text)]
    (flannel,) = [one for one in documents if one["kind"] == "ConfigMap"]
    assert json.loads(flannel["data"]["net-conf.json"])["Network"] == PLAN["pods"]
    assert json.loads(flannel["data"]["cni-conf.json"])["plugins"][0]["type"] == "flannel"
    (router,) = [one for one in documents if one["kind"] == "DaemonSet" and one["metadata"]["name"] == "kube-router"]
    flags = set(router["spec"]["template"]["spec"]["containers"][0]["args"])
    assert {"--run-firewall=true", "--run-router=false", "--run-service-proxy=false"} <= flags
    assert f"--service-cluster-ip-range={PLAN['services']}" in flags
    for path, text in addons.items():
        (tmp_path / pathlib.Path(path).name).write_text(text)
    done = run(find_kit() / "validate-k8s", "-k", "1.36", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    counted("manifests", len(documents))


# --- what scripts do -------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_install_takes_the_known_key_and_no_other(bench: Bench) -> None:
    """install.sh installs from a repository whose key is known, holds the packages, and refuses other keys"""
    assert bench.run("install.sh").returncode == 0, bench.calls()
    assert any("install" in call and "kubelet kubeadm kubectl" in call for call in bench.calls())
    assert "apt-mark hold kubelet kubeadm kubectl" in bench.calls()
    assert "/v1.36/deb/" in (bench.place / "kubernetes.list").read_text()
    (bench.place / "calls").write_text("")
    bench.behave("gpg", f"echo fpr:::::::::{FINGERPRINT[:-1]}0:")
    done = bench.run("install.sh")
    assert done.returncode != 0 and "nothing is installed" in done.stderr
    assert not [call for call in bench.calls() if call.startswith("apt-get")]


@pytest.mark.slow
def test_install_refuses_containerd_1(bench: Bench) -> None:
    """install.sh refuses a containerd that Kubernetes does not talk to any more"""
    bench.behave("containerd", "echo containerd github.com/containerd/containerd 1.7.28 abc")
    done = bench.run("install.sh")
    assert done.returncode != 0 and "1.7.28 is too old" in done.stderr


def published(bench: Bench) -> None:
    """Lets the control plane create a token and Google take it."""
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=kubernetes -days 1"
    pki = bench.place / "kubernetes" / "pki"
    assert run(*make.split(), "-keyout", "ca.key", "-out", "ca.crt", cwd=pki).returncode == 0
    bench.behave(
        "kubeadm",
        "[[ $1 == token ]] && echo abcdef.0123456789abcdef; [[ $1 == init && -e $BENCH/broken ]] && exit 1",
    )
    versions = [{"name": f"projects/1/secrets/kubeadm-join/versions/{number}"} for number in (7, 6)]
    bench.answer("kubeadm-join:addVersion", versions[0])
    bench.answer("versions", {"versions": versions})


@pytest.mark.slow
def test_control_plane_is_made_once(bench: Bench) -> None:
    """control-plane.sh inits, applies network and policies, publishes a token; a second run does not init again"""
    published(bench)
    for _ in range(2):
        done = bench.run("control-plane.sh")
        assert done.returncode == 0, done.stderr
    calls = bench.calls()
    assert len([call for call in calls if call.startswith("kubeadm init")]) == 1
    assert not [call for call in calls if call.startswith("kubeadm reset")]
    assert "systemctl enable --now join-token.timer etcd-snapshot.timer" in calls
    config = bench.place / "kubernetes" / "encryption" / "config.yaml"
    first, *_ = yaml.safe_load(config.read_text())["resources"][0]["providers"]
    assert len(base64.b64decode(first["secretbox"]["keys"][0]["secret"])) == 32
    assert stat.S_IMODE(config.stat().st_mode) == 0o600


@pytest.mark.slow
def test_a_failed_init_is_taken_back(bench: Bench) -> None:
    """control-plane.sh resets after a failed init, fails, and begins anew when it is run again"""
    published(bench)
    (bench.place / "broken").touch()
    done = bench.run("control-plane.sh")
    assert done.returncode != 0 and "kubeadm reset --force" in bench.calls()
    assert not (bench.place / "state" / "done").exists()
    (bench.place / "broken").unlink()
    assert bench.run("control-plane.sh").returncode == 0 and (bench.place / "state" / "done").exists()


@pytest.mark.slow
def test_join_token_is_published_and_the_last_one_destroyed(bench: Bench) -> None:
    """join-token.sh publishes token and hash, destroys older versions only, and shows the token to no other process"""
    published(bench)
    done = bench.run("join-token.sh")
    assert done.returncode == 0, done.stderr
    body = json.JSONDecoder().raw_decode(bench.bodies())[0]
    join = json.loads(base64.b64decode(body["payload"]["data"]))
    assert join["token"] == "abcdef.0123456789abcdef" and re.fullmatch("sha256:[0-9a-f]{64}", join["ca"])
    destroyed = [call.rsplit("/", 1)[1] for call in bench.calls() if ":destroy" in call]
    assert destroyed == ["6:destroy"]
    assert not [
        call for call in bench.calls() if "abcdef.0123" in call or "LENT" in call or body["payload"]["data"] in call
    ]


@pytest.mark.slow
def test_worker_joins_with_what_is_published(bench: Bench) -> None:
    """worker.sh joins by token and hash, waits while nothing is published, and never joins twice"""
    done = bench.run("worker.sh")
    assert done.returncode != 0 and "has not published" in done.stderr
    join = json.dumps({"token": "abcdef.0123456789abcdef", "ca": f"sha256:{'a' * 64}"})
    bench.answer("latest:access", {"payload": {"data": base64.b64encode(join.encode()).decode()}})
    bench.behave("kubeadm", 'cp "$3" "$BENCH/join.yaml"; touch "$KUBERNETES/kubelet.conf"')
    for _ in range(2):
        done = bench.run("worker.sh")
        assert done.returncode == 0, done.stderr
    config = kubeadm((bench.place / "join.yaml").read_text())["JoinConfiguration"]
    assert config["discovery"]["bootstrapToken"]["apiServerEndpoint"] == "10.160.0.3:6443"
    assert len([call for call in bench.calls() if call.startswith("kubeadm join")]) == 1


@pytest.mark.slow
def test_snapshot_leaves_the_machine_whole(bench: Bench) -> None:
    """etcd-snapshot.sh uploads snapshot, authorities and encryption key together, and leaves nothing behind"""
    (bench.place / "kubernetes" / "encryption").mkdir()
    (bench.place / "kubernetes" / "encryption" / "config.yaml").write_text("key")
    (bench.place / "kubernetes" / "pki" / "ca.key").write_text("ca")
    bench.behave(
        "crictl", '[[ $1 == ps ]] && cat "$BENCH/etcd"; [[ $* == *"snapshot save"* ]] && echo db >"$DATA/snapshot.db"'
    )
    (bench.place / "etcd").write_text("")
    done = bench.run("etcd-snapshot.sh")
    assert done.returncode != 0 and "etcd does not run" in done.stderr and not (bench.place / "uploaded").exists()
    (bench.place / "etcd").write_text("abc123\n")
    done = bench.run("etcd-snapshot.sh")
    assert done.returncode == 0 and "gs://example-project-kubeadm-snapshots/" in done.stderr, done.stderr
    with tarfile.open(bench.place / "uploaded") as archive:
        assert {"snapshot.db", "pki/ca.key", "encryption/config.yaml"} <= set(archive.getnames())
    assert not (bench.place / "data" / "snapshot.db").exists()
    assert any("snapshot status" in call for call in bench.calls())


def archived(bench: Bench) -> pathlib.Path:
    """An archive as etcd-snapshot.sh makes it, and the control plane that it is of."""
    published(bench)
    kubernetes = bench.place / "kubernetes"
    for folder in ("encryption", "manifests"):
        (kubernetes / folder).mkdir()
    peer = "https://10.160.0.3:2380"
    flags = f"    - --name=kubeadm-control-plane\n    - --initial-advertise-peer-urls={peer}\n"
    (kubernetes / "manifests" / "etcd.yaml").write_text(flags)
    (bench.place / "data" / "old").touch()
    (bench.place / "snapshot.db").write_text("db")
    with tarfile.open(bench.place / "kept.tar.gz", "w:gz") as archive:
        archive.add(bench.place / "snapshot.db", "snapshot.db")
        archive.add(kubernetes / "pki", "pki")
    images = {"images": [{"repoTags": ["registry.k8s.io/etcd:3.6.5-0"]}]}
    (bench.place / "images").write_text(json.dumps(images))
    bench.behave("crictl", '[[ $1 == images ]] && cat "$BENCH/images"; [[ $1 == ps && -e $BENCH/stuck ]] && echo abc')
    unpacks = '[[ -e $BENCH/broken ]] && exit 1; for at in "$BENCH"/data-restore.*; do mkdir -p "$at/etcd/member"; done'
    bench.behave("ctr", unpacks)
    return bench.place / "kept.tar.gz"


@pytest.mark.slow
def test_restore_puts_etcd_back(bench: Bench) -> None:
    """etcd-restore.sh stops the control plane, unpacks the snapshot as this member, keeps what was, and starts again"""
    done = bench.run("etcd-restore.sh", archived(bench))
    assert done.returncode == 0, done.stderr
    assert (bench.place / "data" / "member").is_dir() and (bench.place / "kubernetes" / "manifests").is_dir()
    (before,) = bench.place.glob("data.before-*")
    assert (before / "old").exists() and not list(bench.place.glob("data-restore.*"))
    (restore,) = [call for call in bench.calls() if call.startswith("ctr ")]
    assert "etcdutl snapshot restore" in restore and "--bump-revision" in restore
    assert "kubeadm-control-plane=https://10.160.0.3:2380" in restore


@pytest.mark.slow
@pytest.mark.parametrize(
    ("wrong", "said"),
    [("other", "other authorities"), ("stuck", "does not stop"), ("broken", ""), ("empty", "usage")],
)
def test_a_restore_that_fails_changes_nothing(bench: Bench, wrong: str, said: str) -> None:
    """etcd-restore.sh leaves data and control plane as they are when a step fails"""
    archive = archived(bench)
    (bench.place / wrong).touch()
    if wrong == "other":
        (bench.place / "kubernetes" / "pki" / "ca.crt").write_text("another")
    done = bench.run("etcd-restore.sh", bench.place / "empty" if wrong == "empty" else archive)
    assert done.returncode != 0 and said in done.stderr, done.stderr
    assert (bench.place / "data" / "old").exists() and (bench.place / "kubernetes" / "manifests").is_dir()
