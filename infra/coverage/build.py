"""Writes infra/COVERAGE.md from the tables beside this file, one per area; `--check` only compares.

A row is `| ID | what | file | check |`; several IDs or files are separated by commas. Every ID of
ids.txt has at least one row, or nothing is written.
"""

from __future__ import annotations

import pathlib
import re
import sys
from typing import NamedTuple

HERE = pathlib.Path(__file__).resolve().parent
OUT = HERE.parent / "COVERAGE.md"
SOURCES = {
    "S0": "one application on AWS and GCP",
    "S1": "kubeadm on three machines",
    "S2": "one API on EKS",
    "S3": "three regions with Argo CD",
    "S4": "delivery platform on three clouds",
}
HEAD = """# Coverage

What was asked for, the file that answers it, and the check that fails when that file is emptied. Checks of meaning also have
mutants, wrong meanings that they must catch: `infra/tests/mutants`. Made by `infra/coverage/build.py` from the tables in `infra/coverage`; do not edit.

| check | run it with |
|---|---|
| `test_x.py::test_y` | `make test-infra ONLY=test_x.py::test_y` |
| `app/tests/test_x.py::test_y` | `.venv/bin/python -m pytest -c app/pyproject.toml --rootdir app app/tests/test_x.py::test_y`, after `scripts/setup.sh` |
| `cargo test …` | as it stands, after `cargo build -p thalweg-edge`; it must say `1 passed`, because cargo calls a run of no test a success |
| document only | nothing here can prove it; the document says what to do |
"""


class Row(NamedTuple):
    """One file that answers requirements, and how that is checked."""

    ids: tuple[str, ...]
    what: str
    files: tuple[str, ...]
    check: str
    area: str


def ids() -> list[str]:
    """Every requirement, in order."""
    return (HERE / "ids.txt").read_text().split()


def split(cell: str) -> tuple[str, ...]:
    return tuple(
        part.strip().strip("`") for part in cell.split(",") if part.strip() not in ("", "–", "-")
    )


def rows() -> list[Row]:
    """All rows of all areas."""
    found = []
    for table in sorted(HERE.glob("*.md")):
        for line in table.read_text().splitlines():
            cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
            if line.startswith("|") and len(cells) == 4 and re.match(r"`?S\d-\d", cells[0]):
                check = re.sub(r"^`([^`]*)`$", r"\1", cells[3])
                found.append(Row(split(cells[0]), cells[1], split(cells[2]), check, table.stem))
    return found


def shown(row: Row) -> str:
    files = ", ".join(f"`{file}`" for file in row.files) or "–"
    prose = row.check.startswith("document only")
    return f"{row.what} | {files} | {row.check if prose else f'`{row.check}`'} |"


def page() -> str:
    """The whole of COVERAGE.md."""
    every = rows()
    parts = [HEAD]
    for source, name in SOURCES.items():
        parts.append(f"\n## {source}: {name}\n\n| ID | what | file | check |\n|---|---|---|---|\n")
        for one in (one for one in ids() if one.startswith(f"{source}-")):
            parts += [f"| {one} | {shown(row)}\n" for row in every if one in row.ids]
    return "".join(parts) + "\n" + (HERE / "unproven.txt").read_text()


def problems() -> list[str]:
    """IDs that nobody answers, and rows that answer no ID."""
    known, answered = set(ids()), {one for row in rows() for one in row.ids}
    missing = [f"{one}: no row" for one in ids() if one not in answered]
    return missing + [f"{one}: no such requirement" for one in sorted(answered - known)]


def main() -> int:
    found = problems()
    for problem in found:
        print(problem, file=sys.stderr)
    if "--check" in sys.argv:
        stale = not OUT.exists() or OUT.read_text() != page()
        if stale:
            print(f"{OUT.name} is not current: python infra/coverage/build.py", file=sys.stderr)
        return int(stale or bool(found))
    OUT.write_text(page())
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
