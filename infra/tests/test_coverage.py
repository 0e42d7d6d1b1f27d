"""COVERAGE.md is true: every requirement has a row, what rows name exists, and checks notice."""

from __future__ import annotations

import os
import pathlib
import re
import shutil
import sys

import pytest
import yaml
from conftest import INFRA, ROOT, run
from edge import find_edge

sys.path.insert(0, str(INFRA / "coverage"))
import build  # noqa: E402

CARGO = re.compile(r"cargo test -p (\S+) --test (\w+) (\w+)")
INFRA_CHECK = re.compile(r"(test_\w+\.py)::(test_\w+)(\[.*\])?")


def test_every_requirement_is_answered(counted) -> None:
    """every requirement has a row, and every row a requirement"""
    assert not build.problems(), "\n".join(build.problems())
    original = ROOT.parent / "shared" / "REQUIREMENTS.md"
    if original.exists():
        table = original.read_text().split("## What the sources")[0]
        assert set(re.findall(r"\bS[0-4]-\d+\b", table)) == set(build.ids())
    counted("requirements", len(build.ids()))


def test_page_is_current() -> None:
    """COVERAGE.md is what its sources say"""
    assert build.OUT.read_text() == build.page(), "python infra/coverage/build.py"


def wrong(row: build.Row) -> list[str]:
    """What a row names that does not exist."""
    missing = [file for file in row.files if not (ROOT / file).exists()]
    if row.check.startswith(("document only:", "later:")):
        return missing
    if cargo := CARGO.fullmatch(row.check):
        text = (ROOT / row.files[0]).read_text() if not missing else ""
        found = f"fn {cargo[3]}(" in text and pathlib.Path(row.files[0]).stem == cargo[2]
    elif check := INFRA_CHECK.fullmatch(row.check):
        file = INFRA / "tests" / check[1]
        found = file.exists() and f"def {check[2]}(" in file.read_text()
    else:
        found = False
    return missing + ([] if found else [row.check])


def test_what_rows_name_exists(counted) -> None:
    """every file and every check that a row names exists"""
    found = [f"{row.area}: {row.ids}: {name}" for row in build.rows() for name in wrong(row)]
    assert not found, "\n".join(found)
    counted("rows", len(build.rows()))


def test_what_the_submission_names_exists(counted) -> None:
    """submission.yml: its documents exist, its commands name what exists; the edge's own is run, the others' targets are asked of make"""
    told = yaml.safe_load((ROOT / "submission.yml").read_text())
    assert all((ROOT / file).stat().st_size for file in told["documents"].values())
    for command in told["commands"]:
        assert set(command) - {"after"} == {"claim", "run"}, command
        words = command["run"].split()
        if words[0] == "make":
            assert run("make", "--dry-run", *words[1:]).returncode == 0, words
            for only in (word.removeprefix("ONLY=") for word in words if word.startswith("ONLY=")):
                file, name = INFRA_CHECK.fullmatch(only).group(1, 2)
                assert f"def {name}(" in (INFRA / "tests" / file).read_text(), only
        elif cargo := CARGO.fullmatch(command["run"]):
            assert f"fn {cargo[3]}(" in (ROOT / "tests" / "tests" / f"{cargo[2]}.rs").read_text(), words
        else:
            assert words[0] == "target/debug/thalweg" and "-p thalweg-edge" in command["after"]
            done = run(find_edge(), *words[1:])
            assert done.returncode == 0, done.stdout + done.stderr
    counted("commands", len(told["commands"]))


def pairs() -> list[tuple[str, str]]:
    named = {
        (row.check, file)
        for row in build.rows()
        for file in row.files
        if INFRA_CHECK.fullmatch(row.check)
    }
    return sorted(named)


def copied(into: pathlib.Path) -> pathlib.Path:
    """The repository as git knows it, a repository of its own, with the environments beside it."""
    listed = run("git", "ls-files", "--cached", "--others", "--exclude-standard").stdout
    for name in filter(lambda name: (ROOT / name).is_file(), listed.splitlines()):
        (into / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, into / name, follow_symlinks=False)
    for made in (".venv", ".venv-infra", "target"):
        if (ROOT / made).exists():
            (into / made).symlink_to((ROOT / made).resolve())
    run("git", "init", "--quiet", cwd=into)
    run("git", "add", "--all", cwd=into)
    return into


def outcome(copy: pathlib.Path, check: str) -> str:
    """`passed`, `skipped` or `failed` for one check in the copy."""
    kit = os.environ.get("OFFLINE_VALIDATION") or str(ROOT.parent / "shared" / "offline-validation")
    told = ["-q", "-p", "no:cacheprovider", "--rootdir", "infra/tests", f"infra/tests/{check}"]
    # A skip is told apart from a pass below; it is no failure in here.
    names = {"OFFLINE_VALIDATION": kit, "CI": "", "PYTHONDONTWRITEBYTECODE": "1"}
    done = run(sys.executable, "-m", "pytest", *told, cwd=copy, **names)
    if done.returncode:
        return "failed"
    return "passed" if re.search(r"^\d+ passed", done.stdout.splitlines()[-1]) else "skipped"


@pytest.mark.slow
def test_checks_notice_an_emptied_file(tmp_path: pathlib.Path, counted, record_property) -> None:
    """each named check passes as things are, and fails when its file is emptied"""
    copy = copied(tmp_path / "copy")
    wrong, skipped, sound = [], set(), {}
    for check, name in pairs():
        if check not in sound:
            sound[check] = outcome(copy, check)
        if sound[check] == "skipped":
            skipped.add(check)
            continue
        file = copy / name
        kept = file.read_bytes()
        file.write_bytes(b"")
        verdict = outcome(copy, check)
        file.write_bytes(kept)
        if (sound[check], verdict) != ("passed", "failed"):
            wrong.append(f"{check}: {sound[check]} as it is, {verdict} without {name}")
    counted("files emptied", len(pairs()))
    record_property("counted", f"{len(skipped)} checks skipped here")
    assert not wrong, "\n".join(wrong)
