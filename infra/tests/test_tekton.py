"""The Tekton pipeline: its tasks exist and get what they ask for, what they run is the Makefile's, and they are given no secret."""

from __future__ import annotations

import re

import yaml
from conftest import INFRA, ROOT, find_tool, run
from k8s import Manifest, of_kind, one, parsed

FILE = INFRA / "delivery" / "tekton.yaml"


def objects() -> list[Manifest]:
    return parsed(FILE.read_text())


def test_tasks_get_what_they_ask_for(counted) -> None:
    """Each task of the pipeline exists, in order; its parameters and workspaces are those that the Task names, none less and none more"""
    spec = one(objects(), "Pipeline")["spec"]
    assert [(task["name"], task.get("runAfter", [])) for task in spec["tasks"]] == [("clone", []), ("lint", ["clone"]), ("test", ["lint"])]
    for used in spec["tasks"]:
        task = one(objects(), "Task", used["taskRef"]["name"])["spec"]
        wanted = {param["name"] for param in task["params"] if "default" not in param}
        assert {param["name"] for param in used["params"]} == wanted
        assert {space["name"] for space in used["workspaces"]} == {space["name"] for space in task["workspaces"]}
        assert {space["workspace"] for space in used["workspaces"]} <= {space["name"] for space in spec["workspaces"]}
    own = {param["name"] for param in spec["params"]}
    assert set(re.findall(r"\$\(params\.(\w+)\)", yaml.safe_dump(spec["tasks"]))) == own
    counted("tasks", len(spec["tasks"]))


def test_what_is_run_is_the_makefiles() -> None:
    """lint and test are targets of the Makefile; scripts are clean for shellcheck; a value is never a part of a script's text but by a variable"""
    spec = one(objects(), "Pipeline")["spec"]
    for task in spec["tasks"][1:]:
        (target,) = [param["value"] for param in task["params"]]
        assert run("make", "--dry-run", target).returncode == 0
    for task in of_kind(objects(), "Task"):
        for step in task["spec"]["steps"]:
            done = run(find_tool("shellcheck"), "-", stdin=re.sub(r"\$\(params\.target\)", "lint", step["script"]))
            assert done.returncode == 0, done.stdout
            assert "$(params.commit)" not in step["script"] and "$(params.url)" not in step["script"]
            assert re.search(r":\d[\d.]+-\w+$", step["image"]), step["image"]


def test_it_has_no_secret() -> None:
    """No step reads a Secret, and nothing is delivered: no registry, no cluster, no cloud is named"""
    text = FILE.read_text()
    assert not re.search(r"secret|serviceAccount|docker|kubectl|cosign", yaml.safe_dump_all(objects()), re.IGNORECASE)
    toolchain = re.search(r'channel = "([\d.]+)"', (ROOT / "rust-toolchain.toml").read_text())[1]
    assert set(re.findall(r"image: rust:([\d.]+)-", text)) == {toolchain}
