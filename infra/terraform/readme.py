"""Writes the README of every module from its head comment, variables, outputs and example; `--check` only compares.

The first comment of a module's main.tf is its description: change it there, then run this.
"""

from __future__ import annotations

import json
import pathlib
import re
import sys
from typing import Any

import hcl2

HERE = pathlib.Path(__file__).resolve().parent
NOTE = "<!-- Made by infra/terraform/readme.py; do not edit. -->"


def modules() -> list[pathlib.Path]:
    """Every folder that has a variables.tf and is neither an environment nor an example."""
    found = sorted(file.parent for file in HERE.rglob("variables.tf") if ".terraform" not in file.parts)
    apart = {"environments", "examples"}
    return [folder for folder in found if not apart & set(folder.relative_to(HERE).parts)]


def head(text: str) -> str:
    """The comment a file opens with, as text."""
    lines = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").removeprefix(" "))
    return "\n".join(lines)


def balanced(text: str, start: int) -> int:
    """Where the expression that begins at `start` ends: the first line end outside of brackets."""
    depth = 0
    for at in range(start, len(text)):
        depth += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(text[at], 0)
        if text[at] == "\n" and depth == 0:
            return at
    return len(text)


def types(text: str) -> dict[str, str]:
    """The type of every variable, as written."""
    found = {}
    for block in re.finditer(r'^variable "(\w+)" \{\n(.*?)^\}', text, re.S | re.M):
        kind = re.search(r"^  type\s*=\s*", block[2], re.M)
        if kind:
            written = block[2][kind.end() : balanced(block[2], kind.end())]
            found[block[1]] = " ".join(re.sub(r"#.*", "", written).split())
    return found


def value(given: Any) -> str:
    text = given if isinstance(given, str) and given.startswith("${") else json.dumps(given)
    return f"`{text}`"


def only(block: dict[str, Any], attribute: str) -> Any:
    return block.get(attribute, [None])[0]


def cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def named(folder: pathlib.Path, kind: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for file in sorted(folder.glob("*.tf")):
        with file.open() as text:
            for block in hcl2.load(text).get(kind, []):
                found |= block
    return found


def variables(folder: pathlib.Path) -> list[str]:
    kinds: dict[str, str] = {}
    for file in sorted(folder.glob("*.tf")):
        kinds |= types(file.read_text())
    rows = ["| variable | type | default | |", "|---|---|---|---|"]
    for name, block in named(folder, "variable").items():
        default = value(only(block, "default")) if "default" in block else "needed"
        rows.append(f"| `{name}` | `{cell(kinds[name])}` | {cell(default)} | {cell(only(block, 'description') or '')} |")
    return rows


def outputs(folder: pathlib.Path) -> list[str]:
    rows = ["| output | |", "|---|---|"]
    for name, block in named(folder, "output").items():
        rows.append(f"| `{name}` | {cell(only(block, 'description') or '')} |")
    return rows


def page(folder: pathlib.Path) -> str:
    """The whole README of one module."""
    parts = [f"# {folder.relative_to(HERE)}", "", NOTE, "", head((folder / "main.tf").read_text()), ""]
    example = folder / "examples" / "basic" / "main.tf"
    if example.exists():
        parts += ["```hcl", example.read_text().rstrip(), "```", ""]
    parts += [*variables(folder), ""]
    if named(folder, "output"):
        parts += [*outputs(folder), ""]
    return "\n".join(parts)


def main() -> int:
    stale = []
    for folder in modules():
        readme, wanted = folder / "README.md", page(folder)
        if not readme.exists() or readme.read_text() != wanted:
            stale.append(str(readme.relative_to(HERE)))
            if "--check" not in sys.argv:
                readme.write_text(wanted)
    if "--check" in sys.argv and stale:
        print("not current, run python infra/terraform/readme.py:", *stale, sep="\n  ", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
