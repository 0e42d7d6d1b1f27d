"""Writes rules.yaml beside this file: `infra/monitoring/rules` as PrometheusRules; `--check` says whether it is current.

One object per file, its groups as they stand. Needs PyYAML.
"""

from __future__ import annotations

import pathlib
import sys

import yaml

HERE = pathlib.Path(__file__).parent
OUT = HERE / "rules.yaml"
HEAD = "# The rules for clusters with the Prometheus operator. Made by build.py from ../rules; do not edit.\n"


class Dumper(yaml.SafeDumper):
    """Indents lists, as every other file here does."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def text() -> str:
    """What the file should hold."""
    objects = []
    for path in sorted((HERE.parent / "rules").glob("*.yml")):
        meta = {"name": f"thalweg-{path.stem}", "labels": {"app.kubernetes.io/part-of": "thalweg"}}
        groups = yaml.safe_load(path.read_text())["groups"]
        objects.append(
            {"apiVersion": "monitoring.coreos.com/v1", "kind": "PrometheusRule", "metadata": meta, "spec": {"groups": groups}}
        )
    return HEAD + yaml.dump_all(objects, Dumper=Dumper, sort_keys=False, width=10000, explicit_start=True)


def main() -> int:
    if "--check" in sys.argv:
        current = OUT.exists() and OUT.read_text() == text()
        print("current" if current else f"{OUT.name} is not current: python infra/monitoring/operator/build.py")
        return int(not current)
    OUT.write_text(text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
