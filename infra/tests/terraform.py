"""What the checks of infra/terraform share: which folders there are, how to read HCL, how to validate and to plan offline.

Nothing here talks to a cloud: the kit's stand-ins serve the real providers' schemas and plan invented values for what
only a cloud knows. A plan made here therefore proves what the configuration asks for, not that a cloud grants it.
"""

from __future__ import annotations

import contextlib
import functools
import json
import pathlib
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from typing import Any, NamedTuple

import hcl2
from conftest import INFRA, find_kit, find_tool, run

TERRAFORM = INFRA / "terraform"
ADDRESSES = json.loads((TERRAFORM / "addresses.json").read_text())
# A cloud is asked for nothing and a backend is not initialised: state of a plan stays in the copy.
SHOWN = 4000
NO_BACKEND = 'terraform {\n  backend "local" {}\n}\n'


def name(folder: pathlib.Path) -> str:
    """How a folder is called in messages: its path below infra/terraform."""
    return str(folder.relative_to(TERRAFORM))


def folders() -> list[pathlib.Path]:
    """Every folder that holds *.tf files."""
    found = {file.parent for file in TERRAFORM.rglob("*.tf") if ".terraform" not in file.parts}
    return sorted(found)


def environments() -> list[pathlib.Path]:
    """The folders that are applied: one per environment and place."""
    return [folder for folder in folders() if name(folder).startswith("environments/")]


def examples() -> list[pathlib.Path]:
    return [folder for folder in folders() if "examples" in folder.parts]


def modules() -> list[pathlib.Path]:
    """Modules, bootstrap and global: all that has variables, tests, an example and a README."""
    others = {*environments(), *examples()}
    return [folder for folder in folders() if folder not in others]


# --- HCL ---------------------------------------------------------------------------------------------------------


@functools.cache
def hcl(file: pathlib.Path) -> dict[str, Any]:
    """One file, parsed. Every attribute is a list of one; expressions are "${…}"."""
    with file.open() as text:
        return hcl2.load(text)


def blocks(folder: pathlib.Path, kind: str, pattern: str = "*.tf") -> dict[str, dict[str, Any]]:
    """All blocks of a kind with one label (variable, output, module, run) of a folder, by label."""
    found: dict[str, dict[str, Any]] = {}
    for file in sorted(folder.glob(pattern)):
        for block in hcl(file).get(kind, []):
            found |= block
    return found


def first(block: dict[str, Any], attribute: str) -> Any:
    """The value of an attribute, None where it is absent."""
    value = block.get(attribute)
    return value[0] if isinstance(value, list) and value else value


# --- running terraform ---------------------------------------------------------------------------------------------


@functools.cache
def offline() -> dict[str, str]:
    """The environment in which terraform uses the kit's stand-ins for providers."""
    find_tool("terraform")
    exports = run(find_kit() / "terraform" / "tf-offline-init").stdout
    pairs = (line.removeprefix("export ").split("=", 1) for line in exports.splitlines() if line.startswith("export "))
    return {key: shlex.split(value)[0] for key, value in pairs} | {"TF_IN_AUTOMATION": "1", "TF_INPUT": "0"}


def terraform(place: pathlib.Path, *arguments: str) -> str:
    """Runs one terraform command and returns what it prints; its refusal is the assertion's message."""
    done = run(find_tool("terraform"), *arguments, "-no-color", cwd=place, **offline())
    assert done.returncode == 0, f"terraform {arguments[0]} in {place}\n{done.stdout[-SHOWN:]}\n{done.stderr[-SHOWN:]}"
    return done.stdout


@contextlib.contextmanager
def copied() -> Iterator[pathlib.Path]:
    """A copy of infra/terraform to work in, without state, caches and lock files."""
    with tempfile.TemporaryDirectory(prefix="terraform-") as scratch:
        copy = pathlib.Path(scratch) / "terraform"
        shutil.copytree(TERRAFORM, copy, ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*", "__pycache__"))
        yield copy


def checked(*places: pathlib.Path) -> subprocess.CompletedProcess[str]:
    """The kit's verdict on folders: format, init, validate and, where there are tests, test."""
    return run(find_kit() / "terraform" / "tf-offline-init", "--check", "--fmt", *places)


def together(copy: pathlib.Path, parts: list[pathlib.Path]) -> pathlib.Path:
    """A root that calls all `parts` of a copy, so that one init, validate and plan look at all of them."""
    root = copy / "together"
    root.mkdir()
    calls = "".join(
        f'module "{re.sub(r"[^a-z0-9]+", "_", name(part))}" {{\n  source = "../{name(part)}"\n}}\n' for part in parts
    )
    (root / "main.tf").write_text(calls)
    return root


# --- plans ---------------------------------------------------------------------------------------------------------


class Resource(NamedTuple):
    """One planned resource: what is known before an apply, what only an apply tells, and what it refers to."""

    address: str
    type: str
    provider: str
    values: dict[str, Any]
    unknown: dict[str, Any]
    expressions: dict[str, Any]

    def has(self, attribute: str) -> bool:
        """Whether the configuration sets an attribute: a known value, or a reference that an apply resolves."""
        value = self.values.get(attribute)
        if value not in (None, "", [], {}):
            return True
        return bool(self.unknown.get(attribute)) and bool(self.references(attribute))

    def references(self, attribute: str) -> list[str]:
        """What the expression of an attribute, or of anything in a block, refers to."""
        return sorted(set(_references(self.expressions.get(attribute))))


class Plan(NamedTuple):
    resources: list[Resource]
    outputs: dict[str, Any]
    configuration: dict[str, Any]

    def all(self, *types: str) -> list[Resource]:
        return [resource for resource in self.resources if resource.type in types]


def _references(expression: Any) -> Iterator[str]:
    if isinstance(expression, dict):
        yield from expression.get("references", [])
        for key, inner in expression.items():
            if key != "references":
                yield from _references(inner)
    elif isinstance(expression, list):
        for inner in expression:
            yield from _references(inner)


def _expressions(module: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    for resource in module.get("resources", []):
        yield prefix + resource["address"], resource.get("expressions", {})
    for call, inner in module.get("module_calls", {}).items():
        yield from _expressions(inner["module"], f"{prefix}module.{call}.")


@functools.cache
def planned(folder: pathlib.Path | tuple[pathlib.Path, ...], *variables: str) -> Plan:
    """What an apply of a folder (or of several together) would make. Variables are `name=value`."""
    with copied() as copy:
        place = together(copy, list(folder)) if isinstance(folder, tuple) else copy / name(folder)
        (place / "backend_override.tf").write_text(NO_BACKEND)
        terraform(place, "init")
        given = [word for variable in variables for word in ("-var", variable)]
        terraform(place, "plan", "-out=plan", "-lock=false", *given)
        shown = json.loads(terraform(place, "show", "-json", "plan"))
    configured = dict(_expressions(shown["configuration"]["root_module"]))
    resources = []
    for change in shown.get("resource_changes", []):
        if change["mode"] == "managed":
            unknown = change["change"]["after_unknown"] or {}
            plain = re.sub(r"\[[^\]]*\]", "", change["address"])
            expressions = configured.get(plain, {})
            provider = change["provider_name"].rpartition("/")[2]
            after = change["change"]["after"] or {}
            resources.append(Resource(change["address"], change["type"], provider, after, unknown, expressions))
    outputs = shown["planned_values"].get("outputs", {})
    return Plan(resources, outputs, shown["configuration"])


def walk(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf of a value with its path."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from walk(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from walk(inner, f"{path}[{index}]")
    else:
        yield path, value


class Applied(NamedTuple):
    resources: list[tuple[str, str, dict[str, Any]]]
    outputs: dict[str, Any]


@functools.cache
def applied(folder: pathlib.Path, *providers: str) -> Applied:
    """What stands after an apply of an example with mocked providers: nothing of it is unknown."""
    mocks = ""
    for provider in providers:
        shared = TERRAFORM / "mocks" / provider
        above = "../" * len(folder.relative_to(TERRAFORM).parts)
        mocks += (
            f'mock_provider "{provider}" {{\n' + (f'  source = "{above}mocks/{provider}"\n' if shared.exists() else "") + "}\n"
        )
    with copied() as copy:
        # What may never be destroyed would make the end of the test fail.
        for file in copy.rglob("*.tf"):
            file.write_text(file.read_text().replace("prevent_destroy = true", "prevent_destroy = false"))
        place = copy / name(folder)
        (place / "tests").mkdir(exist_ok=True)
        (place / "tests" / "applied.tftest.hcl").write_text(f'{mocks}run "apply" {{\n}}\n')
        terraform(place, "init", "-backend=false")
        lines = [json.loads(line) for line in terraform(place, "test", "-json", "-verbose").splitlines()]
    states = [line["test_state"] for line in lines if line["type"] == "test_state"]
    assert states, f"no state of {folder}"
    resources = [
        (resource["address"], resource["type"], resource["values"])
        for resource in _resources(states[0]["root_module"])
        if resource["mode"] == "managed"
    ]
    return Applied(resources, {key: output["value"] for key, output in states[0].get("outputs", {}).items()})


def _resources(module: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from module.get("resources", [])
    for inner in module.get("child_modules", []):
        yield from _resources(inner)
