"""What the edge is shipped as, read: Dockerfile, systemd unit, packaged config, secrets, parts."""

from __future__ import annotations

import json
import os
import pathlib
import re
import shutil
import subprocess
import tomllib
from collections.abc import Collection

import pytest
from conftest import INFRA, ROOT, find_tool, run
from edge import NOBODY, find_edge

PACKAGING = INFRA / "packaging"
DOCKERFILE = PACKAGING / "Dockerfile"
UNIT = PACKAGING / "thalweg.service"
MAX_EXPOSURE = 1.5
SECONDS = {"s": 1, "m": 60, "ms": 0.001}


def ok(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, f"{done.args}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def instructions(word: str) -> list[str]:
    text = DOCKERFILE.read_text().replace("\\\n", " ")
    return [line.split(None, 1)[1] for line in text.splitlines() if line.startswith(f"{word} ")]


def repository_copy(into: pathlib.Path, tops: Collection[str] = ()) -> pathlib.Path:
    """What git knows (below `tops`, if given); nothing that was only built or installed here."""
    names = ok(run("git", "ls-files", "--cached", "--others", "--exclude-standard")).splitlines()
    for name in (name for name in names if not tops or name.split("/")[0] in tops):
        if (ROOT / name).is_file():
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, into / name, follow_symlinks=False)
    return into


def test_dockerfile_lints() -> None:
    """the edge's Dockerfile passes hadolint"""
    assert instructions("FROM"), "no image is built from nothing"
    ok(run(find_tool("hadolint"), DOCKERFILE))


def test_dockerfile_misconfigurations(counted) -> None:
    """the edge's Dockerfile passes trivy's rules, all severities"""
    command = [
        find_tool("trivy"),
        "config",
        "--quiet",
        "--skip-check-update",
        "--format",
        "json",
        PACKAGING,
    ]
    results = json.loads(ok(run(*command))).get("Results", [])
    summaries = [result["MisconfSummary"] for result in results if result["Type"] == "dockerfile"]
    assert summaries, "trivy saw no Dockerfile"
    failures = [found for result in results for found in result.get("Misconfigurations", [])]
    assert not failures, [f"{found['ID']} {found['Message']}" for found in failures]
    counted("rules", sum(summary["Successes"] for summary in summaries))


def test_image_settings() -> None:
    """the image: same toolchain, numeric user, no shell, the edge's ports"""
    toolchain = tomllib.loads((ROOT / "rust-toolchain.toml").read_text())["toolchain"]["channel"]
    build, final = instructions("FROM")
    assert build == f"rust:{toolchain}-slim-bookworm AS build"
    assert final == "gcr.io/distroless/cc-debian12:nonroot"
    assert instructions("USER") == [f"{NOBODY}:{NOBODY}"]
    assert instructions("EXPOSE") == ["8080 8443 9900"]
    assert json.loads(instructions("ENTRYPOINT")[0]) == ["/usr/local/bin/thalweg"]
    assert json.loads(instructions("CMD")[0]) == ["run"]


def test_build_context(tmp_path: pathlib.Path, counted) -> None:
    """the build context is the workspace and the licence, nothing else, and cargo can read it"""
    lines = (PACKAGING / "Dockerfile.dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*", "everything is left out first"
    let_in = {rule[1:] for rule in rules if rule.startswith("!")}
    members = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["members"]
    needed = {member.split("/")[0] for member in members}
    assert let_in == needed | {"Cargo.toml", "Cargo.lock", "rust-toolchain.toml", "LICENSE"}
    context = repository_copy(tmp_path, let_in)
    command = [find_tool("cargo"), "metadata", "--no-deps", "--format-version", "1", "--offline"]
    packages = json.loads(ok(run(*command, cwd=context)))["packages"]
    assert len(packages) == len(members)
    counted("names", len(let_in))


def unit_value(key: str) -> list[str]:
    return [
        line.split("=", 1)[1]
        for line in UNIT.read_text().splitlines()
        if line.startswith(f"{key}=")
    ]


def test_unit_is_valid(tmp_path: pathlib.Path, counted) -> None:
    """systemd accepts every line of the unit"""
    copy = tmp_path / "thalweg.service"
    text = UNIT.read_text()
    copy.write_text(text.replace("/usr/bin/thalweg", str(find_edge())))
    done = run(find_tool("systemd-analyze"), "verify", "--man=no", "--recursive-errors=no", copy)
    assert done.returncode == 0 and not done.stderr.strip(), done.stderr
    assert unit_value("Type") == ["notify"] and unit_value("ExecStart") == ["/usr/bin/thalweg run"]
    counted("settings", len(re.findall(r"^[A-Z]\w+=", text, re.MULTILINE)))


def test_announcing_drop_in(tmp_path: pathlib.Path) -> None:
    """systemd accepts the unit with the drop-in of an announcing edge; whatever ends the edge withdraws the address"""
    (tmp_path / "thalweg.service.d").mkdir()
    unit, drop_in = tmp_path / "thalweg.service", PACKAGING / "thalweg-announce.conf"
    unit.write_text(UNIT.read_text().replace("/usr/bin/thalweg", str(find_edge())))
    text = drop_in.read_text()
    (tmp_path / "thalweg.service.d" / "announce.conf").write_text(text)
    done = run(find_tool("systemd-analyze"), "verify", "--man=no", "--recursive-errors=no", unit)
    wrong = [line for line in done.stderr.splitlines() if "thalweg" in line and "birdc" not in line]
    assert not wrong, "\n".join(wrong)
    assert "ExecStopPost=-/usr/sbin/birdc disable anycast4" in text and "WatchdogSec=" in text


def test_unit_exposure(record_property) -> None:
    """the unit's exposure, as systemd rates it, is at most 1.5 of 10"""
    done = run(find_tool("systemd-analyze"), "security", "--offline=true", "--no-pager", UNIT)
    rated = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    assert rated, done.stdout + done.stderr
    record_property("counted", f"exposure {rated[1]}")
    assert float(rated[1]) <= MAX_EXPOSURE


def seconds(duration: str) -> float:
    number, unit = re.fullmatch(r"(\d+)([a-z]+)", duration).groups()
    return int(number) * SECONDS[unit]


def test_unit_outlives_the_drain() -> None:
    """systemd waits longer than the packaged config drains"""
    edge = tomllib.loads((PACKAGING / "thalweg.toml").read_text())["edge"]
    drains_s = seconds(edge["drain_delay"]) + seconds(edge["drain_timeout"])
    assert float(unit_value("TimeoutStopSec")[0]) > drains_s
    assert unit_value("KillMode") == ["mixed"], "SIGTERM goes to the edge, SIGKILL to what is left"


def test_packaged_config(counted) -> None:
    """the packaged config is fine to the edge itself, without a warning"""
    said = json.loads(
        ok(run(find_edge(), "check", "--format", "json", "--config", PACKAGING / "thalweg.toml"))
    )
    assert not said.get("errors") and not said.get("warnings"), said
    counted("endpoints", (PACKAGING / "thalweg.toml").read_text().count("endpoints = ["))


def test_scripts_lint(counted) -> None:
    """the packaging scripts pass shellcheck"""
    scripts = [PACKAGING / "build-deb.sh", *sorted((PACKAGING / "deb").iterdir())]
    assert len(scripts) == 4 and all("set -e" in script.read_text() for script in scripts)
    ok(run(find_tool("shellcheck"), *scripts))
    counted("scripts", len(scripts))


@pytest.mark.slow
def test_no_secrets(tmp_path: pathlib.Path, counted) -> None:
    """trivy finds no secret in the repository, and does find one that is put there"""
    copy = repository_copy(tmp_path / "copy")
    planted = tmp_path / "planted"
    planted.mkdir()
    # A token in the right form, never anybody's; in two parts, so that this file holds none.
    (planted / "leak.env").write_text("GITHUB_TOKEN=" + "ghp_" + "a1B2c3D4e5F6" * 3 + "\n")
    found = {}
    for place in (copy, planted):
        command = [
            find_tool("trivy"),
            "fs",
            "--quiet",
            "--scanners",
            "secret",
            "--format",
            "json",
            place,
        ]
        results = json.loads(ok(run(*command))).get("Results") or []
        found[place] = [
            f"{one['Target']}: {hit['Title']}" for one in results for hit in one.get("Secrets", [])
        ]
    assert found[planted], "the scan is blind"
    assert not found[copy], found[copy]
    counted("files", sum(path.is_file() for path in copy.rglob("*")))


@pytest.mark.slow
def test_bill_of_materials(tmp_path: pathlib.Path, counted) -> None:
    """a CycloneDX bill of materials names every crate of Cargo.lock"""
    shutil.copy(ROOT / "Cargo.lock", tmp_path / "Cargo.lock")
    out = tmp_path / "sbom.json"
    ok(run(find_tool("trivy"), "fs", "--quiet", "--format", "cyclonedx", "--output", out, tmp_path))
    bill = json.loads(out.read_text())
    assert bill["bomFormat"] == "CycloneDX"
    named = {(part["name"], part.get("version")) for part in bill["components"]}
    locked = tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]
    wanted = {(crate["name"], crate["version"]) for crate in locked if "source" in crate}
    assert wanted <= named, sorted(wanted - named)[:10]
    counted("crates", len(wanted))


def test_a_renewed_pair_is_checked_before_the_restart(tmp_path: pathlib.Path) -> None:
    """The runbook's lines for a certificate on a VM, really run: a good pair restarts, one that does not match does not"""
    live, bin_ = tmp_path / "live", tmp_path / "bin"
    for folder in (live, bin_):
        folder.mkdir()
    (bin_ / "thalweg").symlink_to(find_edge())
    (bin_ / "systemctl").write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/restarted\n')
    (bin_ / "systemctl").chmod(0o755)
    page = (ROOT / "docs" / "clouds.md").read_text()
    names = re.findall(r"^LoadCredential=([\w.]+):/etc/letsencrypt/live/api.example.com/([\w.]+)$", page, re.M)
    paths = [f"${{CREDENTIALS_DIRECTORY}}/{name}" for name, _ in names]
    assert len(paths) == 2 and all(f"`{path}`" in page for path in paths)
    listener = f"""
[[listener]]
name = "secure"
bind = "127.0.0.1:8443"
[listener.tls]
certificates = [{{ cert = "{paths[0]}", key = "{paths[1]}" }}]
"""
    (tmp_path / "thalweg.toml").write_text((PACKAGING / "thalweg.toml").read_text() + listener)
    section = (ROOT / "RUNBOOK.md").read_text().split("\n## Certificate\n")[1].split("\n## ")[0]
    (block,) = [text for text in re.findall(r"```sh\n(.*?)```", section, re.DOTALL) if "systemctl" in text]
    block = block.replace("/etc/letsencrypt/live/api.example.com", str(live))
    block = block.replace("/etc/thalweg/thalweg.toml", str(tmp_path / "thalweg.toml"))
    path = f"{bin_}:{os.environ['PATH']}"
    for key, verdict in (("privkey", 0), ("other", 1)):
        ok(
            run(
                find_tool("openssl"), "req", "-x509", "-nodes", "-subj", "/CN=api.example.com",
                "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                "-keyout", live / f"{key}.pem", "-out", live / "fullchain.pem",
            )
        )  # fmt: skip
        done = run("bash", "-ec", block, PATH=path, TMPDIR=str(tmp_path))
        assert bool(done.returncode) == bool(verdict), done.stdout + done.stderr
    assert (tmp_path / "restarted").read_text() == "restart thalweg\n"
