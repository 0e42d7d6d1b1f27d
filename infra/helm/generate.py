"""Writes each chart's values.schema.json and README.md, so that neither is kept by hand.

    python infra/helm/generate.py             write them
    python infra/helm/generate.py --check     say which are not current; exit 1 if any

The schema is the chart's schema.yaml with the definitions of lib/schema.yaml; every object is
closed against unknown keys. The edge's `config` is described by the edge itself: `thalweg
schema`, from THALWEG_BIN or target/. Where there is no binary, that part of the present file
stays. The README lists every `# --` comment of values.yaml.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import yaml

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CHARTS = ("fastapi-app", "thalweg-edge")
# As in templates/tests/{bake,gate}.yaml.
MARGIN_S = 120
# What the chart itself writes into the edge's configuration: not the user's to set.
OWNED = {
    "": ("version", "include", "admin", "listener", "fleet"),
    "edge": ("cloud", "region", "drain_delay", "drain_timeout"),
}


def close(node: Any) -> Any:
    """Closes every object that lists its properties, and requires those that are not x-optional."""
    if isinstance(node, list):
        return [close(item) for item in node]
    if not isinstance(node, dict):
        return node
    closed = {key: close(value) for key, value in node.items() if key != "x-optional"}
    if "properties" in node and "type" in node:
        closed["additionalProperties"] = False
        required = [key for key in node["properties"] if key not in node.get("x-optional", [])]
        if required:
            closed["required"] = required
    return closed


def edge_binary() -> pathlib.Path | None:
    named = os.environ.get("THALWEG_BIN")
    built = [ROOT / "target" / kind / "thalweg" for kind in ("release", "debug")]
    return next(
        (path for path in ([pathlib.Path(named)] if named else []) + built if path.exists()), None
    )


def edge_definitions(present: pathlib.Path) -> dict[str, Any]:
    """`thalweg schema` as definitions named config and config.*, without what the chart owns."""
    binary = edge_binary()
    if binary is None:
        kept = json.loads(present.read_text(encoding="utf-8"))["$defs"]
        return {name: body for name, body in kept.items() if name.split(".")[0] == "config"}
    said = subprocess.run([binary, "schema"], capture_output=True, text=True, check=True).stdout
    schema = json.loads(said.replace('"#/$defs/', '"#/$defs/config.'))
    parts = {f"config.{name}": body for name, body in schema.pop("$defs").items()}
    for name, keys in OWNED.items():
        table = parts[f"config.{name}"] if name else schema
        for key in keys:
            table["properties"].pop(key, None)
    for unused in [
        name for name in parts if name.split(".")[1].split("-")[0] in ("admin", "listener", "fleet")
    ]:
        del parts[unused]
    whole = {key: schema[key] for key in ("type", "properties", "additionalProperties")}
    return {"config": whole | {"required": ["pool", "route"]}} | parts


def schema_of(chart: str) -> str:
    directory = HERE / chart
    shared = yaml.safe_load((HERE / "lib" / "schema.yaml").read_text(encoding="utf-8"))
    own = yaml.safe_load((directory / "schema.yaml").read_text(encoding="utf-8"))
    body = close({"type": "object", "properties": own})
    # Helm itself adds these two.
    body["properties"] |= {"global": {"type": "object"}, "thalweg-lib": {"type": "object"}}
    definitions = close(shared)
    if "config" in own:
        definitions |= edge_definitions(directory / "values.schema.json")
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"Values of {chart}",
    }
    return json.dumps(head | body | {"$defs": definitions}, indent=1, ensure_ascii=False) + "\n"


def documented(values: str) -> Iterator[tuple[str, str]]:
    """(key, description) of every top-level key with a `# --` comment above it."""
    for comment, key in re.findall(r"^# -- (.+)\n([A-Za-z]+):", values, flags=re.MULTILINE):
        yield key, comment


def patience(chart: str) -> str:
    """What `helm test` of production must be told where its check outlasts helm's 5 minutes."""
    own, stage = (
        yaml.safe_load((HERE / chart / name).read_text(encoding="utf-8"))
        for name in ("values.yaml", "values-prod.yaml")
    )
    key = "bake" if "bake" in own else "gate"
    times = own[key] | stage.get(key, {})
    longest = sum(value for name, value in times.items() if name in ("seconds", "waitSeconds", "bakeSeconds"))
    return f" --timeout {longest + MARGIN_S}s"


def readme_of(chart: str) -> str:
    directory = HERE / chart
    about = yaml.safe_load((directory / "Chart.yaml").read_text(encoding="utf-8"))
    text = (directory / "values.yaml").read_text(encoding="utf-8")
    values = yaml.safe_load(text)
    rows = []
    for key, meaning in documented(text):
        default = json.dumps(values[key], ensure_ascii=False)
        shown = f"`{default}`" if len(default) <= 100 else "see values.yaml"
        rows.append(f"| `{key}` | {meaning} | {shown} |")
    files = sorted(path.relative_to(directory).as_posix() for path in directory.glob("values-*"))
    return "\n".join(
        [
            f"# {chart}",
            "",
            about["description"],
            "",
            "```",
            f"helm upgrade --install {chart} infra/helm/{chart} \\",
            f"  -f infra/helm/{chart}/values-aws.yaml -f infra/helm/{chart}/values-prod.yaml",
            f"helm test {chart}{patience(chart)}",
            "```",
            "",
            "One file for the cloud, then one for the stage; yours last. Beside values.yaml: "
            + ", ".join(f"`{name}`" for name in files)
            + ". Wrong values are refused by values.schema.json.",
            "",
            "| value | meaning | default |",
            "|---|---|---|",
            *rows,
            "",
            "Made by `infra/helm/generate.py` from values.yaml.",
            "",
        ]
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args().check
    stale = 0
    for chart in CHARTS:
        for name, make in (("values.schema.json", schema_of), ("README.md", readme_of)):
            path, text = HERE / chart / name, make(chart)
            if path.exists() and path.read_text(encoding="utf-8") == text:
                continue
            stale += 1
            print(f"{path.relative_to(ROOT)} " + ("is not current" if check else "written"))
            if not check:
                path.write_text(text, encoding="utf-8")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
