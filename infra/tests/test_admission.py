"""Admission: the rules that an API server evaluates (CEL) and those for OPA (Rego), each over everything rendered and every bad example."""

from __future__ import annotations

import functools
import json
import sys
from typing import Any

import celpy
import opa_eval
import pytest
import yaml
from celpy.adapter import json_to_cel
from conftest import INFRA
from k8s import Manifest, parsed, rendered, validate

sys.path.insert(0, str(INFRA / "policy"))
from policies import WORKLOADS, pod_template  # noqa: E402

ADMISSION = INFRA / "policy" / "admission"
RULES = ("no-root", "limits", "fixed-image", "no-wildcard-rights", "admin-port-inside")
PLURALS = {"Pod": "pods", "Role": "roles", "Service": "services"}


def bad(rule: str) -> list[Manifest]:
    return parsed((INFRA / "policy" / "bad" / f"{rule}.yaml").read_text())


def policies() -> list[Manifest]:
    every = [m for file in sorted(ADMISSION.glob("*.yaml")) for m in parsed(file.read_text())]
    return [m for m in every if m["kind"] == "ValidatingAdmissionPolicy"]


@functools.cache
def program(expression: str) -> Any:
    environment = celpy.Environment()
    return environment.program(environment.compile(expression))


def asked(manifest: Manifest) -> Manifest:
    """What the API server is asked about: of a workload its pod."""
    if manifest["kind"] in WORKLOADS:
        return {"kind": "Pod", "apiVersion": "v1"} | pod_template(manifest)
    return manifest


@functools.cache
def _refusals(text: str) -> frozenset[str]:
    manifest = json.loads(text)
    said = set()
    for policy in policies():
        spec = policy["spec"]
        matched = {name for rule in spec["matchConstraints"]["resourceRules"] for name in rule["resources"]}
        if PLURALS.get(manifest["kind"]) not in matched:
            continue
        known = {"object": json_to_cel(manifest)}
        variables = {one["name"]: program(one["expression"]).evaluate(known) for one in spec.get("variables", [])}
        known["variables"] = celpy.celtypes.MapType({celpy.celtypes.StringType(key): value for key, value in variables.items()})
        for validation in spec["validations"]:
            if not program(validation["expression"]).evaluate(known):
                said.add(validation["message"])
    return frozenset(said)


def refusals(manifest: Manifest) -> frozenset[str]:
    """The messages with which admission refuses an object."""
    return _refusals(json.dumps(asked(manifest), sort_keys=True))


def denied(manifest: Manifest) -> set[str]:
    judge = opa_eval.OpaEval(str(INFRA / "policy/rego/thalweg.rego"), query="data.thalweg.deny")
    return set(judge.evaluate_parsed(json.dumps(manifest)))


@pytest.mark.parametrize("rule", RULES)
def test_bad_examples_are_refused(rule: str) -> None:
    """each rule refuses its bad example at admission (CEL, by cel-python) and by OPA (Rego, by regorus), and that one alone"""
    by_cel = {said.split(":")[0] for manifest in bad(rule) for said in refusals(manifest)}
    by_rego = {said for manifest in bad(rule) for said in denied(manifest)}
    assert by_cel == by_rego == {rule}, (by_cel, by_rego)


def test_everything_rendered_is_admitted(counted) -> None:
    """everything that the charts render is admitted, by CEL and by Rego: they agree"""
    seen = {json.dumps(manifest, sort_keys=True) for manifests in rendered().values() for manifest in manifests}
    wrong, judged = [], 0
    for text in seen:
        manifest = json.loads(text)
        if manifest["kind"] in (*WORKLOADS, "Role", "Service"):
            judged += 1
            wrong += [f"{manifest['kind']} {manifest['metadata']['name']}: {said}" for said in refusals(manifest) | denied(manifest)]
    assert judged > 50 and not wrong, "\n".join(sorted(set(wrong)))
    counted("objects", judged)


def test_policies_are_valid_and_bound(counted) -> None:
    """the policies are valid by every version's schema, fail closed, and are bound to the namespaces of applications and edges"""
    groups = {file.stem: parsed(file.read_text()) for file in ADMISSION.glob("*.yaml")}
    bindings = {m["spec"]["policyName"]: m["spec"] for ms in groups.values() for m in ms if m["kind"].endswith("PolicyBinding")}
    for policy in policies():
        assert policy["spec"]["failurePolicy"] == "Fail"
        bound = bindings[policy["metadata"]["name"]]
        assert bound["validationActions"] == ["Deny", "Audit"]
        (where,) = bound["matchResources"]["namespaceSelector"]["matchExpressions"]
        assert where == {"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["apps", "edges"]}
        for validation in policy["spec"]["validations"]:
            assert validation["message"].split(":")[0] in RULES
    counted("objects", validate(groups))
