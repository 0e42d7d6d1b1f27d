"""The policies hold for everything that is rendered, and each refuses its bad example."""

from __future__ import annotations

import sys

import pytest
from conftest import INFRA
from k8s import CLOUDS, INGRESSES, Manifest, of_kind, overlay, parsed, rendered, validate

sys.path.insert(0, str(INFRA / "policy"))

from policies import POLICIES, can_i, judge  # noqa: E402

BAD = INFRA / "policy" / "bad"
OVERLAYS = ("overlays/dev", "overlays/stage", "overlays/prod", "monitoring")
# What a user asks for by name is not a violation: title of the value set → policy.
ASKED_FOR = {"fastapi-app.no-policies": "default-deny"}


def everything() -> dict[str, list[Manifest]]:
    return rendered() | {name: overlay(name) for name in OVERLAYS}


def bad(name: str) -> list[Manifest]:
    return parsed((BAD / f"{name}.yaml").read_text(encoding="utf-8"))


def test_everything_keeps_the_policies(counted):
    """Every chart, value set and overlay keeps every policy."""
    sets = everything()
    for title, manifests in sets.items():
        said = [line for line in judge(manifests) if line.split(":")[0] != ASKED_FOR.get(title)]
        assert not said, f"{title}: {said}"
    assert len(POLICIES) >= 11
    counted("policies", len(POLICIES))
    counted("manifests", sum(map(len, sets.values())))


@pytest.mark.parametrize("name", POLICIES)
def test_a_policy_refuses_its_bad_example(name):
    """A bad example, strictly valid, is refused by its policy and by no other."""
    validate({name: bad(name)})
    assert {line.split(":")[0] for line in judge(bad(name))} == {name}


def test_every_policy_has_a_bad_example(counted):
    """There is a bad example for each policy and none for another; the page says where."""
    assert {path.stem for path in BAD.glob("*.yaml")} == set(POLICIES)
    assert all(rule.__doc__ for rule in POLICIES.values())
    assert "bad/NAME.yaml" in (INFRA / "policy" / "README.md").read_text(encoding="utf-8")
    counted("examples", len(POLICIES))


def test_production_never_has_fewer_than_three():
    """Every autoscaler of production starts at three, on every cloud, for every service."""
    scalers = {
        title: of_kind(manifests, "HorizontalPodAutoscaler")
        for title, manifests in everything().items()
        if title.endswith("prod")
    }
    assert len(scalers) == 2 * len(CLOUDS) + 5 * len(CLOUDS) + len(INGRESSES) + 1
    assert all(scaler[0]["spec"]["minReplicas"] >= 3 for scaler in scalers.values())
    development = of_kind(rendered()["fastapi-app.aws.dev"], "HorizontalPodAutoscaler")
    assert development[0]["spec"]["minReplicas"] < 3, "the rule would not notice a smaller number"


def test_pods_cannot_create_pods(counted):
    """`auth can-i create pods` as any rendered account: no; a made-up role finds its yes."""
    asked = 0
    for title, manifests in everything().items():
        for account in of_kind(manifests, "ServiceAccount"):
            meta = account["metadata"]
            subject = f"system:serviceaccount:{meta['namespace']}:{meta['name']}"
            for verb, group, resource in (
                ("create", "", "pods"),
                ("get", "", "secrets"),
                ("patch", "apps", "deployments"),
            ):
                assert not can_i(manifests, verb, group, resource, subject), (
                    title,
                    subject,
                    resource,
                )
                asked += 1
    monitoring = overlay("monitoring")
    assert can_i(monitoring, "list", "", "pods", "system:serviceaccount:monitoring:prometheus")
    role = {
        "kind": "Role",
        "metadata": {"name": "maker", "namespace": "default"},
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["create"]}],
    }
    binding = {
        "kind": "RoleBinding",
        "metadata": {"name": "maker", "namespace": "default"},
        "roleRef": {"kind": "Role", "name": "maker"},
        "subjects": [{"kind": "ServiceAccount", "name": "app-sa"}],
    }
    subject = "system:serviceaccount:default:app-sa"
    assert can_i([role, binding], "create", "", "pods", subject)
    assert not can_i([role], "create", "", "pods", subject)
    assert not can_i([role, binding], "delete", "", "pods", subject)
    counted("questions", asked)


def test_operators_may_drill_and_no_more():
    """The operators' role: what the runbook does to this release and in its pods; no more."""
    manifests = rendered()["fastapi-app.operators"]
    assert sum(map(len, (of_kind(manifests, kind) for kind in ("Role", "RoleBinding")))) == 2
    allowed = {
        (group, resource, verb)
        for role in of_kind(manifests, "Role")
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
        if verb not in ("get", "list", "watch")
    }
    assert allowed == {
        ("apps", "deployments/scale", "patch"),
        ("autoscaling", "horizontalpodautoscalers", "patch"),
        ("", "pods/exec", "create"),
        ("", "pods/portforward", "create"),
    }
    for role in of_kind(rendered()["thalweg-edge.gcp.prod"], "Role"):
        for rule in role["rules"]:
            beyond = set(rule["verbs"]) - {"get", "list", "watch"}
            free = set(rule["resources"]) & {"pods/exec", "pods/portforward", "certificaterequests"}
            assert not beyond or free or rule["resourceNames"] == ["thalweg-edge"], rule
            assert "secrets" not in rule["resources"] and "*" not in rule["verbs"]
