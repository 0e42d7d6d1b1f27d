"""What every check of infra/ shares: where things are, how to run a tool, how to skip loudly.

A check is a test function; its docstring's first line is what the run prints for it. Checks that need minutes are
marked `slow` and run with `make test-infra` only; the fast half runs in `make test` too.
"""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
INFRA = ROOT / "infra"
CI = os.environ.get("CI") == "true"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: needs minutes; not in the fast half")


def not_obtainable() -> set[str]:
    lines = (ROOT / "scripts" / "not-obtainable.txt").read_text().splitlines()
    return {line.strip() for line in lines if line.strip() and not line.startswith("#")}


def skip_loudly(name: str, reason: str) -> None:
    """Skips; with CI=true that is a failure unless no registry carries what is missing."""
    skips = os.environ.get("THALWEG_SKIPS")
    if skips:
        with open(skips, "a", encoding="utf-8") as out:
            out.write(f"{name}: {reason}\n")
    if CI and name not in not_obtainable():
        pytest.fail(f"{name} is missing and could be had: {reason}")
    pytest.skip(f"{name}: {reason}")


def find_tool(name: str) -> str:
    """The path of a command: from .venv-infra first, then from PATH; a loud skip if it is nowhere."""
    beside = ROOT / ".venv-infra" / "bin" / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        skip_loudly(name, f"`{name}` is not installed")
    return found


def find_kit() -> pathlib.Path:
    """The kit for offline validation (OFFLINE_VALIDATION, default ../shared/offline-validation)."""
    kit = pathlib.Path(os.environ.get("OFFLINE_VALIDATION") or ROOT.parent / "shared" / "offline-validation")
    if not (kit / "validate-k8s").exists():
        skip_loudly("offline-validation", f"{kit} is not there: manifests are checked less strictly")
    return kit


def run(*command: object, cwd: pathlib.Path = ROOT, stdin: str | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end, at most ten minutes; never raises for its exit code."""
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        input=stdin,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


@pytest.fixture(scope="session")
def kit() -> pathlib.Path:
    return find_kit()


@pytest.fixture
def counted(record_property):
    """`counted("manifests", 42)`: the run prints it beside the check's name."""
    return lambda what, number: record_property("counted", f"{number} {what}")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo):
    report = (yield).get_result()
    doc = getattr(getattr(item, "function", None), "__doc__", None) or item.name
    report.first_line = doc.strip().splitlines()[0].rstrip(".")


def pytest_terminal_summary(terminalreporter) -> None:
    """One line per check: verdict, name, what was counted, how long it took."""
    terminalreporter.section("checks of infra/")
    for verdict in ("passed", "failed", "error", "skipped"):
        for report in terminalreporter.stats.get(verdict, []):
            counts = ", ".join(value for key, value in getattr(report, "user_properties", ()) if key == "counted")
            name = f"{report.nodeid.split('/')[-1]}: {getattr(report, 'first_line', '')}"
            terminalreporter.write_line(f"{verdict:8}{report.duration:7.1f} s  {name}" + (f" ({counts})" if counts else ""))
