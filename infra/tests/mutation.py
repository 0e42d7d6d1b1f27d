"""Wrong meanings, planted one at a time: the tables, a copy of the repository to plant them in, and a check's verdict there.

Why this and not only an emptied file: a file with one wrong word still has every key that a check looks for. Each mutant is a
change that a tired person could make and that every schema accepts. The original is never touched.
"""

from __future__ import annotations

import os
import pathlib
import re
import shutil
import sys
from typing import NamedTuple

import yaml
from conftest import INFRA, ROOT, run

TABLES = INFRA / "tests" / "mutants"


class Mutant(NamedTuple):
    """One wrong meaning: in `file`, `old` becomes `new`; `check` must fail then."""

    area: str
    file: str
    old: str
    new: str
    means: str
    check: str

    def of(self, text: str) -> str:
        """The text with the wrong meaning in it."""
        assert text.count(self.old) == 1, f"{self.file} holds {self.old!r} {text.count(self.old)} times: name one place"
        return text.replace(self.old, self.new)


def file_of(check: str) -> tuple[pathlib.Path, str]:
    """The file that a check is in, and the function's name: `test_x.py::test_y[case]`, or `app/tests/…` of the application."""
    file, _, name = check.partition("::")
    return (ROOT if file.startswith("app/") else INFRA / "tests") / file, name.partition("[")[0]


def mutants() -> list[Mutant]:
    """Every mutant of every table."""
    found = []
    for table in sorted(TABLES.glob("*.yaml")):
        for row in yaml.safe_load(table.read_text(encoding="utf-8")):
            assert set(row) == {"file", "from", "to", "means", "check"}, f"{table.name}: {row}"
            texts = (row["file"], row["from"], row["to"], row["means"], row["check"])
            found.append(Mutant(table.stem, *texts))
    return found


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


# How pytest tells of a wrong answer, as opposed to a test that could not run.
JUDGED = re.compile(r"AssertionError|^E +assert |^E +Failed: |(^|\W)assert ", re.MULTILINE)


def outcome(copy: pathlib.Path, *checks: str) -> str:
    """`passed`, `skipped`, `failed`, or `broken: …` when a check could not even judge the copy."""
    kit = os.environ.get("OFFLINE_VALIDATION") or str(ROOT.parent / "shared" / "offline-validation")
    told = ["-q", "-x", "-p", "no:cacheprovider", "--tb=short"]
    # The application's tests have an environment of their own.
    if checks[0].startswith("app/"):
        python, where = copy / ".venv/bin/python", ["--rootdir", "app", "-c", "app/pyproject.toml", *checks]
    else:
        python, where = sys.executable, ["--rootdir", "infra/tests", *(f"infra/tests/{check}" for check in checks)]
    # A skip is told apart from a pass below; it is no failure in here.
    names = {"OFFLINE_VALIDATION": kit, "CI": "", "PYTHONDONTWRITEBYTECODE": "1"}
    done = run(python, "-m", "pytest", *told, *where, cwd=copy, **names)
    if done.returncode == 1 and JUDGED.search(done.stdout):
        return "failed"
    if done.returncode:
        return f"broken: {done.stdout[-1500:]}{done.stderr[-500:]}"
    return "passed" if re.search(r"^\d+ passed", done.stdout.splitlines()[-1]) else "skipped"


def verdict(copy: pathlib.Path, mutant: Mutant) -> str:
    """What the mutant's check says in a copy where it is planted; the copy is as before afterwards."""
    file = copy / mutant.file
    kept = file.read_bytes()
    try:
        file.write_text(mutant.of(kept.decode("utf-8")), encoding="utf-8")
        return outcome(copy, mutant.check)
    finally:
        file.write_bytes(kept)
