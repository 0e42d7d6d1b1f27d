"""What the edge is shipped as, run: the image, the unit's sandbox, the Debian package."""

from __future__ import annotations

import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import socket
import sys
import tomllib

import pytest
from conftest import INFRA, ROOT, find_tool, run, skip_loudly
from edge import (
    NOBODY,
    config,
    find_edge,
    free_port,
    get,
    need_root,
    open_directory,
    region,
    running,
    status,
)
from test_packaging import DOCKERFILE, PACKAGING, UNIT, instructions, ok, unit_value


def proc_status(pid: int) -> str:
    return pathlib.Path(f"/proc/{pid}/status").read_text()


def stand_in_base(buildah: list[object], edge: pathlib.Path, into: pathlib.Path) -> None:
    """A local image by the base's name: the libraries the binary asks for, and authorities."""
    libraries = re.findall(r"/\S+", ok(run("ldd", edge)))
    for file in [*libraries, "/etc/ssl/certs/ca-certificates.crt"]:
        copied = into / file.lstrip("/")
        copied.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, copied)
    container = ok(run(*buildah, "from", "scratch")).strip()
    ok(run(*buildah, "copy", container, into, "/"))
    ok(run(*buildah, "commit", "--quiet", container, instructions("FROM")[1]))


def image_root(
    buildah: list[object], edge: pathlib.Path, into: pathlib.Path
) -> tuple[pathlib.Path, dict]:
    """Builds the final stage with buildah, no registry asked; (its root, its settings)."""
    stand_in_base(buildah, edge, into / "base")
    binary = into / "stage" / "src" / "target" / "release" / "thalweg"
    binary.parent.mkdir(parents=True)
    shutil.copy(edge, binary)
    command = ["build", "--quiet", "--format", "docker", "--isolation", "chroot", "--pull-never"]
    command += [
        "--build-context",
        f"build={into / 'stage'}",
        "--ignorefile",
        f"{DOCKERFILE}.dockerignore",
    ]
    ok(run(*buildah, *command, "-f", DOCKERFILE, "-t", "thalweg:check", ROOT))
    container = ok(run(*buildah, "from", "--pull-never", "thalweg:check")).strip()
    settings = json.loads(ok(run(*buildah, "inspect", "--type", "image", "thalweg:check")))[
        "Docker"
    ]["config"]
    return pathlib.Path(ok(run(*buildah, "mount", container)).strip()), settings


@pytest.mark.slow
def test_image_runs(record_property) -> None:
    """the image's final stage builds, and runs read-only as its own user"""
    need_root()
    edge, tool = find_edge(), find_tool("buildah")
    with open_directory() as scratch, region() as endpoint:
        buildah = [
            tool,
            "--root",
            scratch / "storage",
            "--runroot",
            scratch / "run",
            "--storage-driver",
            "vfs",
        ]
        try:
            root, settings = image_root(buildah, edge, scratch)
            assert settings["Healthcheck"]["Test"] == ["CMD", "/usr/local/bin/thalweg", "status"]
            assert not list(root.glob("**/bin/*sh")), "a shell is in the image"
            web, admin = free_port(), free_port()
            (root / "etc/thalweg").mkdir()
            (root / "etc/thalweg/thalweg.toml").write_text(config(web, admin, endpoint))
            inside = (
                f"mount --rbind {root} {root} && mount -o remount,ro,bind {root} && exec "
                + " ".join(
                    [
                        "chroot",
                        f"--userspec={settings['User']}",
                        str(root),
                        *settings["Entrypoint"],
                        *settings["Cmd"],
                    ]
                )
            )
            with running(
                "unshare", "--mount", "sh", "-c", inside, THALWEG_CONFIG="/etc/thalweg/thalweg.toml"
            ) as it:
                assert get(admin, "/livez")[0] == 200 and get(web, "/")[0] == 200
                assert f"\nUid:\t{NOBODY}\t" in proc_status(it.pid)
                health = [
                    "chroot",
                    f"--userspec={settings['User']}",
                    root,
                    *settings["Healthcheck"]["Test"][1:],
                ]
                ok(run(*health, "--admin", f"http://127.0.0.1:{admin}"))
                it.send_signal(signal.SIGTERM)
                assert it.wait(timeout=10) == 0
            record_property(
                "counted", f"{(root / 'usr/local/bin/thalweg').stat().st_size >> 20} MiB"
            )
        finally:
            run(*buildah, "rm", "--all")


PYTHON = (
    shutil.which("python3", path="/usr/bin") or sys.executable
)  # others may lie where only root looks
FORBIDDEN = {
    "a file": "open('written', 'w')",
    "a netlink socket": "socket.socket(socket.AF_NETLINK)",
    "code made at run time": "mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC)",
    "the clock": "time.clock_settime(time.CLOCK_REALTIME, 0)",
    "another user": "os.setuid(0)",
    "another root": "os.chroot('/')",
    "a higher priority": "os.nice(-1)",
}


def sandboxed(scratch: pathlib.Path, *program: object) -> list[object]:
    """What systemd would do: no new privileges, one capability, read-only files, call filters."""
    module = pytest.importorskip("pyseccomp")
    for file in (module.__file__, INFRA / "tests" / "sandbox.py", UNIT):
        shutil.copy(file, scratch)
    capability = unit_value("AmbientCapabilities")[0].removeprefix("CAP_").lower()
    only = f"-all,+{capability}"
    rights = f"--inh-caps={only} --ambient-caps={only} --bounding-set={only} --no-new-privs"
    user = f"--reuid={NOBODY} --regid={NOBODY} --clear-groups"
    told = shlex.join(
        [PYTHON, f"{scratch}/sandbox.py", f"{scratch}/{UNIT.name}", *map(str, program)]
    )
    inside = f"mount -o remount,ro,bind / && exec setpriv {user} {rights} {told}"
    return ["unshare", "--mount", "sh", "-c", inside]


@pytest.mark.slow
def test_units_rules_bite(counted) -> None:
    """what the unit forbids is refused where the edge is run under its rules"""
    need_root()
    head = "import mmap, os, socket, sys, time\n"
    body = "".join(
        f"try:\n {line}\n print('done: {what}')\nexcept OSError:\n pass\n"
        for what, line in FORBIDDEN.items()
    )
    with open_directory() as scratch:
        scratch.chmod(0o777)  # so that only the read-only mount stands in the way of a file
        command = sandboxed(scratch, PYTHON, "-c", head + body + "print('end')")
        said = ok(run(*command, cwd=scratch))
    assert said.strip() == "end", said
    counted("attempts", len(FORBIDDEN))


@pytest.mark.slow
def test_runs_under_the_units_rules(counted) -> None:
    """the edge starts, serves, reloads and drains under the unit's restrictions"""
    need_root()
    edge = find_edge()
    told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    with open_directory() as scratch, region() as endpoint, told:
        told.bind(str(scratch / "notify"))
        (scratch / "notify").chmod(0o666)
        told.settimeout(15)
        web, admin = free_port(low=True), free_port()
        (scratch / "thalweg.toml").write_text(config(web, admin, endpoint))
        names = {
            "THALWEG_CONFIG": str(scratch / "thalweg.toml"),
            "NOTIFY_SOCKET": str(scratch / "notify"),
        }
        shutil.copy(edge, scratch)
        with running(*sandboxed(scratch, scratch / edge.name, "run"), **names) as it:
            assert told.recv(64) == b"READY=1"
            proc = dict(re.findall(r"^(\w+):\t(\S+)", proc_status(it.pid), re.M))
            assert (proc["Uid"], proc["NoNewPrivs"], proc["Seccomp"]) == (str(NOBODY), "1", "2")
            assert (
                int(proc["CapEff"], 16) == int(proc["CapBnd"], 16) == 1 << 10
            ), "CAP_NET_BIND_SERVICE alone"
            assert get(web, "/")[0] == 200
            assert "process_open_fds" in get(admin, "/metrics")[1]
            it.send_signal(signal.SIGHUP)
            assert told.recv(64) == b"RELOADING=1" and told.recv(64) == b"READY=1"
            assert status(admin)["last_reload"]["result"] == "unchanged"
            it.send_signal(signal.SIGTERM)
            assert told.recv(64) == b"STOPPING=1" and it.wait(timeout=40) == 0
    counted(
        "restrictions",
        len(
            re.findall(r"^(Protect|Private|Restrict|SystemCall|Memory|Cap)", UNIT.read_text(), re.M)
        ),
    )


def build_deb(target: pathlib.Path, *options: str) -> pathlib.Path:
    names = {"CARGO_TARGET_DIR": str(target), "THALWEG_BIN": str(find_edge())}
    cargo_deb = find_tool("cargo-deb")
    names["PATH"] = f"{pathlib.Path(cargo_deb).parent}:{os.environ['PATH']}"
    return pathlib.Path(
        ok(run(PACKAGING / "build-deb.sh", *options, **names)).strip().splitlines()[-1]
    )


def dpkg(root: pathlib.Path, *action: object) -> None:
    """dpkg on a root of its own; maintainer scripts run outside of it, told where it is."""
    names = {"DEBIAN_FRONTEND": "noninteractive", "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
    forced = [
        "--force-depends",
        "--force-script-chrootless",
        "--force-not-root",
        "--force-confdef",
        "--force-confold",
    ]
    ok(run("dpkg", f"--root={root}", f"--log={root}/log", *forced, *action, **names))


def empty_root(path: pathlib.Path) -> pathlib.Path:
    for part in ("info", "updates", "triggers"):
        (path / "var/lib/dpkg" / part).mkdir(parents=True)
    (path / "var/lib/dpkg/status").touch()
    return path


def check_installed(root: pathlib.Path) -> int:
    """What the package brought works: binary, page, completions, unit; how many commands."""
    edge = root / "usr/bin/thalweg"
    version = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]
    assert ok(run(edge, "version")).strip() == f"thalweg {version}"
    ok(run(edge, "check", "--config", root / "etc/thalweg/thalweg.toml"))
    page = ok(run("man", "--warnings", "-l", root / "usr/share/man/man1/thalweg.1", MANPAGER="cat"))
    commands = re.findall(r"^  ([a-z]+)  ", ok(run(edge, "--help")), re.MULTILINE)
    assert len(commands) > 8 and all(
        f"thalweg {command}" in page for command in commands if command != "help"
    )
    assert (root / "usr/lib/systemd/system/thalweg.service").read_text() == UNIT.read_text()
    assert "Apache" in (root / "usr/share/doc/thalweg/copyright").read_text()
    for shell, path in {
        "bash": "bash-completion/completions/thalweg",
        "zsh": "zsh/vendor-completions/_thalweg",
        "fish": "fish/vendor_completions.d/thalweg.fish",
    }.items():
        file = root / "usr/share" / path
        assert "failback" in file.read_text()
        ok(run(find_tool(shell), "-n", file))
    return len(commands)


@pytest.mark.slow
def test_debian_package(tmp_path: pathlib.Path, counted) -> None:
    """the package installs and works; an upgrade keeps an edited config"""
    if not shutil.which("dpkg"):
        skip_loudly("dpkg", "this is no Debian")
    package = build_deb(tmp_path / "target")
    newer = build_deb(tmp_path / "newer", "--deb-revision", "2")
    root = empty_root(tmp_path / "root")
    dpkg(root, "--install", package)
    counted("commands", check_installed(root))
    edited = root / "etc/thalweg/thalweg.toml"
    edited.write_text(edited.read_text() + "# mine\n")
    dpkg(root, "--install", newer)
    asked = run(
        "dpkg-query",
        f"--admindir={root}/var/lib/dpkg",
        "-W",
        "-f",
        "${Version} ${Status}",
        "thalweg",
    )
    assert re.fullmatch(r"\S+-2 install ok installed", ok(asked))
    assert edited.read_text().endswith("# mine\n"), "an edited config belongs to the operator"
    check_installed(root)
    dpkg(root, "--remove", "thalweg")
    assert edited.exists() and not (root / "usr/bin/thalweg").exists()
    dpkg(root, "--purge", "thalweg")
    assert not edited.exists()
