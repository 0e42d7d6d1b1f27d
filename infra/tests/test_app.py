"""The application's image and manners: what can be proven about them without a registry."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from conftest import ROOT, find_tool, run, skip_loudly

APP = ROOT / "app"
DOCKERFILE = APP / "Dockerfile"
NOBODY = 65532


def instructions() -> list[tuple[str, str]]:
    """Each instruction of the Dockerfile and its words, continued lines joined."""
    text = re.sub(r"\\\n", " ", DOCKERFILE.read_text())
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in lines]


def test_dockerfile_is_clean() -> None:
    """hadolint has nothing against the application's Dockerfile"""
    found = run(find_tool("hadolint"), DOCKERFILE)
    assert found.returncode == 0, found.stdout + found.stderr
    assert instructions()


def test_image_is_small_and_unprivileged(counted) -> None:
    """The image: two stages, pinned slim base, numeric user that is not root, a health check, what is copied exists"""
    stages = [words for name, words in instructions() if name == "FROM"]
    assert len(stages) == 2
    for base in stages:
        assert re.match(r"python:3\.\d+-slim-\w+", base), base
    users = [words for name, words in instructions() if name == "USER"]
    assert users == [f"{NOBODY}:{NOBODY}"]
    assert [words for name, words in instructions() if name == "EXPOSE"] == ["8000"]
    assert any(name == "HEALTHCHECK" for name, _ in instructions())
    copied = [words.split() for name, words in instructions() if name == "COPY"]
    own = [name for words in copied if not words[0].startswith("--from") for name in words[:-1]]
    for source in own:
        assert (APP / source).exists(), source
    counted("instructions", len(instructions()))


def test_context_holds_only_what_is_copied() -> None:
    """The build context is the code and its pins: no tests, no environment, no secret can slip in"""
    rules = (APP / ".dockerignore").read_text().split("\n")
    kept = {rule for rule in rules if rule.startswith("!")}
    assert "*" in rules and kept == {"!app/*.py", "!requirements.txt", "!requirements-otel.txt"}
    copied = [words.split() for name, words in instructions() if name == "COPY"]
    own = [name for words in copied if not words[0].startswith("--from") for name in words[:-1]]
    assert {rule.strip("!").removesuffix("/*.py") for rule in kept} == set(own)


@pytest.mark.parametrize(
    "name", ["requirements.txt", "requirements-dev.txt", "requirements-otel.txt"]
)
def test_dependencies_are_pinned(name: str, counted) -> None:
    """Every dependency has one version and its hashes"""
    pins = re.findall(
        r"^([a-z0-9._-]+)==(\S+) \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)",
        (APP / name).read_text(),
        re.M,
    )
    loose = [
        line
        for line in (APP / name).read_text().splitlines()
        if re.match(r"[a-z]", line) and "==" not in line
    ]
    assert pins and not loose
    counted("packages", len(pins))


@pytest.mark.parametrize(
    "tool",
    [["black", "--check", "-q"], ["isort", "--check", "-q"], ["flake8", "--config", ".flake8"]],
)
def test_code_is_tidy(tool: list[str]) -> None:
    """black, isort and flake8 have nothing against the application"""
    python = ROOT / ".venv" / "bin" / "python"
    if not python.exists():
        skip_loudly("venv", "scripts/setup.sh makes it")
    found = run(python, "-m", *tool, "app", "tests", cwd=APP)
    assert found.returncode == 0, found.stdout + found.stderr
    assert list(APP.glob("app/*.py"))


@pytest.mark.slow
@pytest.mark.parametrize("extra", ["", "requirements-otel.txt"])
def test_steps_of_the_build_run(tmp_path: Path, extra: str) -> None:
    """The image's steps run: pinned packages into a new environment, then its command, as nobody, with nothing to write to"""
    assert [words for name, words in instructions() if name == "ARG"] == ['EXTRA=""']
    steps = [words for name, words in instructions() if name == "RUN"]
    assert len(steps) == 1 and "--require-hashes" in steps[0]
    venv = tmp_path / "venv"
    line = (
        steps[0]
        .replace("/venv", str(venv))
        .replace("-r requirements.txt", f"-r {APP / 'requirements.txt'}")
    )
    line = line.replace("python -m venv", "python3 -m venv", 1)
    built = run("sh", "-ec", line, EXTRA=extra and str(APP / extra))
    assert built.returncode == 0, built.stderr
    traces = run(venv / "bin" / "python", "-c", "import opentelemetry.sdk.trace")
    assert (traces.returncode == 0) == bool(extra), traces.stderr
    shutil.copytree(
        APP / "app", tmp_path / "srv" / "app", ignore=shutil.ignore_patterns("__pycache__")
    )
    for folder in [tmp_path, *tmp_path.parents]:
        if folder.stat().st_uid == os.geteuid() and not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o011)
    command = next(words for name, words in instructions() if name == "CMD")
    words = [word.strip('",') for word in shlex.split(command.strip("[]").replace(",", " "))]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = [str(port) if word == "8000" else word for word in words]
    lend = (
        ["setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups"]
        if os.geteuid() == 0
        else []
    )
    process = subprocess.Popen(
        [*lend, str(venv / "bin" / words[0]), *words[1:]],
        cwd=tmp_path / "srv",
        env={"PATH": f"{venv}/bin:/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"},
    )
    try:
        health = next(words for name, words in instructions() if name == "HEALTHCHECK")
        assert "/alive" in health
        deadline = time.monotonic() + 30
        while True:
            assert process.poll() is None, "the server ended"
            assert time.monotonic() < deadline, "no answer in time"
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/alive", timeout=1) as answer:
                    assert answer.status == 200
                    break
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        process.terminate()
        assert process.wait(30) in (0, -15)
    finally:
        process.kill()


def test_readme_names_the_endpoints(counted) -> None:
    """The README's endpoints and variables are those of the code"""
    readme = (APP / "README.md").read_text()
    code = "\n".join(path.read_text() for path in APP.glob("app/*.py"))
    paths = set(re.findall(r'@(?:app|routes)\.(?:get|post|delete|websocket)\("(/[a-z]+)', code))
    variables = set(re.findall(r'text\("([A-Z_]+)"\)', code))
    missing = [name for name in sorted(paths | variables) if name not in readme]
    assert paths and variables and not missing, missing
    counted("names", len(paths | variables))
