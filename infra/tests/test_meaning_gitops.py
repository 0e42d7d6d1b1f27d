"""What a schema cannot see in GitOps: how far a project reaches, and what who is on call may do there."""

from __future__ import annotations

from k8s import one
from test_gitops import applications, read


def test_the_project_is_narrow(counted) -> None:
    """The project: one repository, named namespaces, no `*`; who is on call looks, syncs and rolls back"""
    project = one(read("argocd/project.yaml"), "AppProject")["spec"]
    used = {application["spec"]["destination"]["namespace"] for application in applications()}
    allowed = {destination["namespace"] for destination in project["destinations"]}
    assert used <= allowed and not any("*" in namespace for namespace in allowed), allowed
    repositories = {application["spec"]["source"]["repoURL"] for application in applications()}
    assert repositories <= set(project["sourceRepos"])
    assert not any("*" in repository for repository in project["sourceRepos"]), project["sourceRepos"]
    (oncall,) = [role for role in project["roles"] if role["name"] == "oncall"]
    granted = [policy.split(", ") for policy in oncall["policies"]]
    assert {verdict for *_, verdict in granted} == {"allow"}
    assert {(resource, verb) for _, _, resource, verb, _, _ in granted} == {
        ("applications", "get"),
        ("applications", "sync"),
    }
    counted("grants", len(granted))
