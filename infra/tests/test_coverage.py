"""COVERAGE.md is true: every requirement has a row, what rows name exists, and checks notice."""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys

import pytest
import yaml
from conftest import INFRA, ROOT, run
from edge import find_edge
from mutation import copied, file_of, outcome

sys.path.insert(0, str(INFRA / "coverage"))
import build  # noqa: E402

CARGO = re.compile(r"cargo test -p (\S+) --test (\w+) (\w+)")
INFRA_CHECK = re.compile(r"(test_\w+\.py)::(test_\w+)(\[.*\])?")
APP_CHECK = re.compile(r"app/tests/test_\w+\.py::test_\w+")


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


def is_run(rust: str, name: str) -> bool:
    """Is it a test, and one that cargo runs unasked? A function without `#[test]` makes cargo run none, and say ok."""
    found = re.search(rf"((?:^ *#\[.*\]\n)+) *(?:async )?fn {name}\(", rust, re.MULTILINE)
    return bool(found) and "test]" in found[1] and "#[ignore" not in found[1]


def test_a_function_that_cargo_passes_over_is_no_check() -> None:
    """A row of cargo names a test: no helper, none that is ignored"""
    assert is_run("#[test]\nfn a() {}\n", "a") and is_run("#[tokio::test]\nasync fn a() {}\n", "a")
    assert not is_run("fn a() {}\n", "a")
    assert not is_run("#[test]\n#[ignore = \"slow\"]\nfn a() {}\n", "a")


@pytest.mark.slow
def test_cargo_rows_run_a_test(counted) -> None:
    """each cargo row, as it stands, runs exactly one test, and it passes: cargo itself calls a run of none a success"""
    rows = sorted({row.check for row in build.rows() if CARGO.fullmatch(row.check)})
    packages = [f"--package={name}" for name in sorted({CARGO.fullmatch(row)[1] for row in rows})]
    # A first build may take longer than `run` waits.
    subprocess.run(["cargo", "test", "--locked", "--no-run", "--quiet", *packages], cwd=ROOT, check=True, timeout=3600)
    found = []
    for row in rows:
        done = run(*row.split(), "--", "--exact")
        ran = sum(map(int, re.findall(r"^test result: ok\. (\d+) passed", done.stdout, re.MULTILINE)))
        if done.returncode or ran != 1:
            found.append(f"{row}: exit {done.returncode}, {ran} tests passed\n{done.stdout[-1500:]}{done.stderr[-500:]}")
    assert rows and not found, "\n".join(found)
    counted("rows", len(rows))


def wrong(row: build.Row) -> list[str]:
    """What a row names that does not exist."""
    missing = [file for file in row.files if not (ROOT / file).exists()]
    if row.check.startswith("document only:"):
        return missing
    if cargo := CARGO.fullmatch(row.check):
        text = (ROOT / row.files[0]).read_text() if not missing else ""
        found = is_run(text, cargo[3]) and pathlib.Path(row.files[0]).stem == cargo[2]
    elif INFRA_CHECK.fullmatch(row.check) or APP_CHECK.fullmatch(row.check):
        file, name = file_of(row.check)
        found = file.exists() and f"def {name}(" in file.read_text()
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
        if INFRA_CHECK.fullmatch(row.check) or APP_CHECK.fullmatch(row.check)
    }
    return sorted(named)


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
        # An empty file may also be one that a check cannot read at all: that is noticed, too.
        if sound[check] != "passed" or verdict in ("passed", "skipped"):
            wrong.append(f"{check}: {sound[check]} as it is, {verdict} without {name}")
    counted("files emptied", len(pairs()))
    record_property("counted", f"{len(skipped)} checks skipped here")
    assert not wrong, "\n".join(wrong)
