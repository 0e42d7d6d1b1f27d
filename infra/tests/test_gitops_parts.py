"""One meaning a check: what a line of the GitOps files says, and what would go wrong if it said something else."""

from __future__ import annotations

import re

from k8s import CLOUDS, SERVICES, Manifest, of_kind, one
from test_gitops import SETS, applications, cloud_releases, generated_applications, read



def releases() -> list[Manifest]:
    found = [release for cloud in CLOUDS for release in of_kind(cloud_releases(cloud), "HelmRelease")]
    assert len(found) == len(CLOUDS) * (2 + len(SERVICES))
    return found


def every_application() -> list[Manifest]:
    """Of the hub in every cloud, and of a cluster by itself: an emptied file is none of them."""
    found = applications()
    assert len(found) == len(CLOUDS) * (2 + len(SERVICES)) + 1
    return found


def sets() -> list[Manifest]:
    return [one(read(f"argocd/{name}.yaml"), "ApplicationSet") for name in SETS]


def test_one_source(counted) -> None:
    """Argo CD and Flux read one repository: Argo CD its head, Flux a tag for each cloud"""
    urls = set()
    for application in every_application():
        source = application["spec"]["source"]
        urls.add(source["repoURL"])
        assert source["targetRevision"] == "HEAD", "a branch of its own would be another source"
    for cloud in CLOUDS:
        source = one(cloud_releases(cloud), "GitRepository")["spec"]
        urls.add(source["url"])
        assert source["ref"].keys() == {"tag"} and source["interval"] == "1m"
    urls.add(one(read("flux/source.yaml"), "GitRepository")["spec"]["url"])
    assert len(urls) == 1
    assert one(read("argocd/project.yaml"), "AppProject")["spec"]["sourceRepos"] == list(urls)
    counted("sources", len(every_application()) + len(CLOUDS) + 1)


def test_a_commit_is_a_deploy(counted) -> None:
    """Every application syncs by itself"""
    for application in every_application():
        assert "automated" in application["spec"]["syncPolicy"], application["metadata"]["name"]
    counted("applications", len(every_application()))


def test_what_git_no_longer_has_is_taken_away(counted) -> None:
    """Argo CD prunes, and takes its objects along when an application goes; Flux prunes too"""
    for application in every_application():
        assert application["spec"]["syncPolicy"]["automated"]["prune"] is True
        assert application["metadata"]["finalizers"] == ["resources-finalizer.argocd.argoproj.io"]
    waves = {wave["metadata"]["name"]: wave["spec"] for wave in read("flux/waves.yaml")}
    assert all(waves[cloud]["prune"] is True for cloud in CLOUDS)
    counted("applications", len(every_application()))


def test_drift_is_healed(counted) -> None:
    """Argo CD heals drift, and so does Flux"""
    for application in every_application():
        assert application["spec"]["syncPolicy"]["automated"]["selfHeal"] is True
    for release in releases():
        assert release["spec"]["driftDetection"]["mode"] == "enabled", release["metadata"]["name"]
    counted("releases", len(every_application()) + len(releases()))


def test_namespaces_are_made(counted) -> None:
    """Argo CD makes the namespace where it is not there yet"""
    for application in every_application():
        options = application["spec"]["syncPolicy"]["syncOptions"]
        assert {"CreateNamespace=true", "ServerSideApply=true"} <= set(options)
    counted("applications", len(every_application()))


def test_a_sync_that_fails_is_tried_again_and_ends(counted) -> None:
    """A failed sync is tried a few times, later each time; it does not go on for ever, because a gate may have stopped it"""
    for application in every_application():
        retry = application["spec"]["syncPolicy"]["retry"]
        assert 0 < retry["limit"] <= 5 and retry["backoff"]["factor"] >= 2
    for release in releases():
        upgrade = release["spec"]["upgrade"]["remediation"]
        assert upgrade == {"retries": 2, "remediateLastFailure": True, "strategy": "rollback"}
        assert release["spec"]["install"]["remediation"] == {"retries": 3}
    counted("releases", len(every_application()) + len(releases()))


def test_every_cloud_is_a_cluster_of_its_own(counted) -> None:
    """Seven releases in each of three clusters, each with the values of its own cloud and of production"""
    seen = set()
    for application in generated_applications():
        cloud = application["metadata"]["labels"]["cloud"]
        files = application["spec"]["source"]["helm"]["valueFiles"]
        assert files[:2] == [f"values-{cloud}.yaml", "values-prod.yaml"]
        cluster = application["spec"]["destination"]["name"]
        assert cluster.startswith(f"{cloud}-")
        seen.add((cluster, application["spec"]["source"]["helm"]["releaseName"]))
    assert len(seen) == len(CLOUDS) * (2 + len(SERVICES)) and len({cluster for cluster, _ in seen}) == len(CLOUDS)
    counted("applications", len(seen))


def test_the_first_wave_is_one_cloud(counted) -> None:
    """RollingSync: the canary cloud alone, then the others one at a time; every application is in a wave"""
    for applied in sets():
        strategy = applied["spec"]["strategy"]
        first, second = strategy["rollingSync"]["steps"]
        assert strategy["type"] == "RollingSync" and second["maxUpdate"] == 1
        assert [(e["key"], e["operator"], e["values"]) for e in first["matchExpressions"]] == [("wave", "In", ["canary"])]
        assert [(e["key"], e["operator"], e["values"]) for e in second["matchExpressions"]] == [("wave", "In", ["rest"])]
        assert "goTemplate" in applied["spec"] and applied["spec"]["goTemplateOptions"] == ["missingkey=error"]
    canary = {a["metadata"]["labels"]["cloud"] for a in generated_applications() if a["metadata"]["labels"]["wave"] == "canary"}
    assert canary == {"azure"}
    counted("sets", len(sets()))


def test_an_operator_may_pause_one_application() -> None:
    """What an operator switches off of automated sync stays off: the controller does not put it back"""
    for applied in sets():
        assert applied["spec"]["ignoreApplicationDifferences"] == [{"jsonPointers": ["/spec/syncPolicy/automated"]}]


def test_on_call_may_look_and_sync() -> None:
    """The project's role of the on-call may look and sync, within the project; it may not change or delete"""
    (role,) = one(read("argocd/project.yaml"), "AppProject")["spec"]["roles"]
    assert role["groups"] == ["oncall"]
    policies = [re.split(r", *", line) for line in role["policies"]]
    assert {(words[2], words[3], words[4], words[5]) for words in policies} == {
        ("applications", "get", "thalweg/*", "allow"),
        ("applications", "sync", "thalweg/*", "allow"),
    }


def test_the_project_is_small() -> None:
    """Argo CD's project: namespaces by name, cluster-wide only what the charts make, no quotas of the platform"""
    spec = one(read("argocd/project.yaml"), "AppProject")["spec"]
    assert {d["namespace"] for d in spec["destinations"]} == {"apps", "edges", "gateways"}
    assert {entry["kind"] for entry in spec["clusterResourceWhitelist"]} == {"Namespace", "PriorityClass"}
    assert {entry["kind"] for entry in spec["namespaceResourceBlacklist"]} == {"ResourceQuota", "LimitRange"}


def test_flux_takes_every_tag(counted) -> None:
    """A tag counts though the chart's version is the same; releases are looked at every five minutes and wait for their test"""
    for release in releases():
        spec = release["spec"]
        assert spec["chart"]["spec"]["reconcileStrategy"] == "Revision" and spec["interval"] == "5m"
        assert spec["test"] == {"enable": True} and spec["timeout"] == "15m"
        assert spec["targetNamespace"] == spec["storageNamespace"]
    counted("releases", len(releases()))


def test_balancers_are_for_who_asks_by_class() -> None:
    """AWS: the controller takes no Service that has not asked for it; two of it, one away at a time"""
    (chart,) = [s for s in one(read("argocd/platform.yaml"), "Application")["spec"]["sources"] if "chart" in s]
    values = chart["helm"]["valuesObject"]
    assert values["enableServiceMutatorWebhook"] is False
    assert values["replicaCount"] == 2 and values["podDisruptionBudget"] == {"maxUnavailable": 1}


def test_waits_between_tries_are_bounded(counted) -> None:
    """A sync that failed is tried again after minutes at most, not hours"""
    for application in every_application():
        backoff = application["spec"]["syncPolicy"]["retry"]["backoff"]
        for key in ("duration", "maxDuration"):
            assert re.fullmatch(r"\d+s|[1-5]m", backoff[key]), (application["metadata"]["name"], key, backoff[key])
    counted("applications", len(every_application()))


def test_clusters_are_reached_by_tls_and_by_no_token_of_a_pod() -> None:
    """Every cluster's address is https; no service account that Flux comes as is mounted into a pod"""
    for secret in read("argocd/clusters.yaml"):
        assert secret["stringData"]["server"].startswith("https://"), secret["metadata"]["name"]
    accounts = of_kind(read("flux/clusters.yaml"), "ServiceAccount")
    assert len(accounts) == len(CLOUDS)
    assert all(account["automountServiceAccountToken"] is False for account in accounts)


def test_what_nobody_owns_is_told() -> None:
    """Argo CD warns of objects in its namespaces that no file describes"""
    assert one(read("argocd/project.yaml"), "AppProject")["spec"]["orphanedResources"] == {"warn": True}


def test_sources_hold_what_is_read_from_them(counted) -> None:
    """Flux leaves out of its sources all but infra, where the charts and their values are"""
    sources = [*read("flux/source.yaml"), *(one(cloud_releases(cloud), "GitRepository") for cloud in CLOUDS)]
    for source in sources:
        assert source["spec"]["ignore"].split() == ["/*", "!/infra"], source["metadata"]["name"]
    for release in releases():
        spec = release["spec"]["chart"]["spec"]
        assert all(path.startswith("./infra/") for path in (spec["chart"], *spec["valuesFiles"]))
    counted("sources", len(sources))
