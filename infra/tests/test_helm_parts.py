"""One meaning a check: what a line of the charts says, and what would go wrong if it said something else."""

from __future__ import annotations

import itertools
import json
import re
import tomllib

import pytest
from k8s import CHARTS, CLOUDS, SERVICES, STAGES, Manifest, of_kind, one, rendered

PROD = [f"{chart}.{cloud}.prod" for chart in CHARTS for cloud in CLOUDS]
PROD += [f"{service}.{cloud}.prod" for service in SERVICES for cloud in CLOUDS]
SHIPPED = PROD + [f"{chart}.{cloud}.{stage}" for chart in CHARTS for cloud in CLOUDS for stage in ("dev", "stage")]
APPS = [title for title in SHIPPED if not title.startswith("thalweg-edge")]
EDGES = [title for title in SHIPPED if title.startswith("thalweg-edge")]


def workload(title: str) -> Manifest:
    return one(rendered()[title], "Deployment")


def pod(title: str) -> Manifest:
    return workload(title)["spec"]["template"]["spec"]


def environment(title: str) -> dict[str, str | None]:
    return {item["name"]: item.get("value") for item in pod(title)["containers"][0]["env"]}


def config(title: str) -> dict:
    return tomllib.loads(one(rendered()[title], "ConfigMap")["data"]["thalweg.toml"])


def policy(title: str) -> Manifest:
    return one(rendered()[title], "NetworkPolicy", workload(title)["metadata"]["name"])["spec"]


def test_a_rollout_takes_no_serving_pod_away(counted) -> None:
    """A new pod is ready, and stays so for seconds, before an old one goes; never all at once"""
    for title in SHIPPED:
        spec = workload(title)["spec"]
        rolling = spec["strategy"]["rollingUpdate"]
        assert spec["strategy"]["type"] == "RollingUpdate" and rolling["maxUnavailable"] == 0, title
        assert rolling["maxSurge"] in (1, "25%") and spec["minReadySeconds"] >= 5, title
    on_host = workload("thalweg-edge.host-network-deployment")["spec"]["strategy"]["rollingUpdate"]
    assert on_host == {"maxSurge": 0, "maxUnavailable": 1}, "two edges cannot share a node"
    daemons = one(rendered()["thalweg-edge.daemonset"], "DaemonSet")["spec"]["updateStrategy"]
    assert daemons == {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}}
    counted("workloads", len(SHIPPED) + 2)


def test_an_application_serves_until_balancers_have_noticed(counted) -> None:
    """A pod that ends goes on serving for ten seconds before the signal, then has half a minute for what is in flight"""
    for title in APPS:
        sleep = pod(title)["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
        graceful = int(environment(title)["UVICORN_TIMEOUT_GRACEFUL_SHUTDOWN"])
        assert sleep >= 10 and graceful >= 30, title
        assert pod(title)["terminationGracePeriodSeconds"] >= sleep + graceful + 5
    counted("value sets", len(APPS))


def test_an_edge_drains_before_it_ends(counted) -> None:
    """An edge that ends is not ready but serves on, then has 25 seconds for what is in flight"""
    for title in EDGES:
        edge = config(title)["edge"]
        least = 5 if title.endswith("dev") else 10
        assert int(edge["drain_delay"].removesuffix("s")) >= least and edge["drain_timeout"] == "25s", title
        needed = int(edge["drain_delay"].removesuffix("s")) + 25
        assert pod(title)["terminationGracePeriodSeconds"] >= needed + 10
    counted("value sets", len(EDGES))


def test_a_node_may_be_drained_one_pod_at_a_time(counted) -> None:
    """By choice one pod of a workload is away at a time, and one that is sick anyway holds up nothing"""
    for title in SHIPPED:
        spec = one(rendered()[title], "PodDisruptionBudget")["spec"]
        assert spec["maxUnavailable"] == 1 and spec["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
        labels = workload(title)["spec"]["template"]["metadata"]["labels"]
        assert spec["selector"]["matchLabels"].items() <= labels.items()
    counted("budgets", len(SHIPPED))


def test_edges_are_evicted_last(counted) -> None:
    """Production has priority classes of its own, edges above applications, none of them for everybody"""
    values = {}
    for title in PROD:
        made = one(rendered()[title], "PriorityClass")
        assert pod(title)["priorityClassName"] == made["metadata"]["name"] and made["globalDefault"] is False
        values.setdefault(title.startswith("thalweg-edge"), set()).add(made["value"])
    assert min(values[True]) > max(values[False]) > 0
    counted("classes", len(PROD))


def test_production_survives_a_zone(counted) -> None:
    """Production: pods of a workload differ by at most one between zones, and a pod waits rather than break that"""
    for title in PROD:
        rules = {rule["topologyKey"]: rule for rule in pod(title)["topologySpreadConstraints"]}
        assert {rule["maxSkew"] for rule in rules.values()} == {1}
        assert rules["topology.kubernetes.io/zone"]["whenUnsatisfiable"] == "DoNotSchedule", title
        host = rules["kubernetes.io/hostname"]["whenUnsatisfiable"]
        assert host == ("DoNotSchedule" if title.startswith("thalweg-edge") else "ScheduleAnyway")
    counted("workloads", len(PROD))


@pytest.mark.parametrize("stage", STAGES)
def test_how_many_there_are(stage, counted) -> None:
    """Pods of a stage, at least and at most, the same on every cloud"""
    wanted = {
        "fastapi-app": {"dev": (2, 3), "stage": (2, 5), "prod": (3, 10)},
        "thalweg-edge": {"dev": (1, 2), "stage": (2, 4), "prod": (3, 20)},
    }
    for chart, cloud in itertools.product(CHARTS, CLOUDS):
        spec = one(rendered()[f"{chart}.{cloud}.{stage}"], "HorizontalPodAutoscaler")["spec"]
        assert (spec["minReplicas"], spec["maxReplicas"]) == wanted[chart][stage], (chart, cloud)
        assert spec["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": chart}
    counted("autoscalers", len(CHARTS) * len(CLOUDS))


def utilization(title: str) -> dict[str, int]:
    metrics = one(rendered()[title], "HorizontalPodAutoscaler")["spec"]["metrics"]
    return {m["resource"]["name"]: m["resource"]["target"]["averageUtilization"] for m in metrics if "resource" in m}


def test_scaling_goes_by_cpu(counted) -> None:
    """Applications scale at 70 % of their CPU request, edges at 60 %"""
    for title in SHIPPED:
        assert utilization(title)["cpu"] == (60 if title.startswith("thalweg-edge") else 70), title
    counted("autoscalers", len(SHIPPED))


def test_applications_scale_by_memory(counted) -> None:
    """Applications scale at 80 % of their memory request, too"""
    for title in APPS:
        assert utilization(title)["memory"] == 80, title
    counted("autoscalers", len(APPS))


def test_scaling_down_is_slow_and_up_is_fast(counted) -> None:
    """Down: after five quiet minutes (edges ten), a quarter or one a minute; up: at once, doubling every 15 s"""
    for title in SHIPPED:
        behavior = one(rendered()[title], "HorizontalPodAutoscaler")["spec"]["behavior"]
        down, up = behavior["scaleDown"], behavior["scaleUp"]
        assert down["stabilizationWindowSeconds"] == (600 if title.startswith("thalweg-edge") else 300), title
        assert {(p["type"], p["value"], p["periodSeconds"]) for p in down["policies"]} == {("Percent", 25, 60), ("Pods", 1, 60)}
        assert up["stabilizationWindowSeconds"] == 0
        assert ("Percent", 100, 15) in {(p["type"], p["value"], p["periodSeconds"]) for p in up["policies"]}
    counted("autoscalers", len(SHIPPED))


SIZES = {
    "fastapi-app": {
        "dev": ({"cpu": "50m", "memory": "128Mi"}, {"cpu": "500m", "memory": "256Mi"}),
        "stage": ({"cpu": "100m", "memory": "128Mi"}, {"cpu": "500m", "memory": "256Mi"}),
        "prod": ({"cpu": "100m", "memory": "128Mi"}, {"cpu": "1", "memory": "512Mi"}),
    },
    "thalweg-edge": {
        "dev": ({"cpu": "50m", "memory": "64Mi"}, {"cpu": "500m", "memory": "256Mi"}),
        "stage": ({"cpu": "250m", "memory": "128Mi"}, {"cpu": "1", "memory": "512Mi"}),
        "prod": ({"cpu": "1", "memory": "256Mi"}, {"cpu": "2", "memory": "1Gi"}),
    },
}


@pytest.mark.parametrize("stage", STAGES)
def test_what_a_pod_may_have(stage, counted) -> None:
    """Requests and limits of a stage, of CPU and memory"""
    for chart, cloud in itertools.product(CHARTS, CLOUDS):
        resources = pod(f"{chart}.{cloud}.{stage}")["containers"][0]["resources"]
        assert (resources["requests"], resources["limits"]) == SIZES[chart][stage], (chart, cloud)
    counted("pods", len(CHARTS) * len(CLOUDS))


def probe(title: str, kind: str) -> tuple[str, int, int]:
    found = pod(title)["containers"][0][f"{kind}Probe"]
    return found["httpGet"]["path"], found["periodSeconds"], found["failureThreshold"]


def test_readiness(counted) -> None:
    """Ready: an application whose stores answer, out within ten seconds; an edge whose first probes ended, out within four"""
    for title in SHIPPED:
        assert probe(title, "readiness") == (("/readyz", 2, 2) if title in EDGES else ("/ready", 5, 2)), title
    counted("probes", len(SHIPPED))


def test_liveness(counted) -> None:
    """Alive: the process itself, never its stores nor its regions; three misses end it"""
    for title in SHIPPED:
        assert probe(title, "liveness") == (("/livez", 5, 3) if title in EDGES else ("/alive", 10, 3)), title
    counted("probes", len(SHIPPED))


def test_starting_has_time(counted) -> None:
    """A pod that starts has half a minute, an application a minute, before it counts as dead"""
    for title in SHIPPED:
        path, period, failures = probe(title, "startup")
        assert path in ("/livez", "/alive") and period * failures >= (30 if title in EDGES else 60), title
    counted("probes", len(SHIPPED))


def test_the_service_has_port_80(counted) -> None:
    """Clients of an application use port 80; the pod, which is not root, listens on 8000"""
    for title in APPS:
        (port,) = one(rendered()[title], "Service")["spec"]["ports"]
        assert (port["port"], port["targetPort"]) == (80, "http"), title
        assert pod(title)["containers"][0]["ports"] == [{"name": "http", "containerPort": 8000, "protocol": "TCP"}]
        selector = one(rendered()[title], "Service")["spec"]["selector"]
        assert selector.items() <= workload(title)["spec"]["template"]["metadata"]["labels"].items()
    counted("services", len(APPS))


def test_where_a_pod_is_is_told_to_it(counted) -> None:
    """CLOUD, REGION and INSTANCE are those of the pod; they are labels, too"""
    for title in APPS:
        env, labels = environment(title), workload(title)["spec"]["template"]["metadata"]["labels"]
        assert (env["CLOUD"], env["REGION"]) == (labels["cloud"], labels["region"]) and env["CLOUD"] == title.split(".")[1]
        (instance,) = [item for item in pod(title)["containers"][0]["env"] if item["name"] == "INSTANCE"]
        assert instance["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.name"
    counted("pods", len(APPS))


def test_the_switch_of_a_drill() -> None:
    """HEALTH_CHECK_FAIL is off, on where drill.healthFail says so; the file that makes a running pod unhealthy is named"""
    for title in APPS:
        env = environment(title)
        assert (env["HEALTH_CHECK_FAIL"], env["HEALTH_CHECK_FAIL_FILE"]) == ("false", "/tmp/unhealthy"), title
    assert environment("fastapi-app.sick")["HEALTH_CHECK_FAIL"] == "true"
    mounts = {mount["mountPath"] for mount in pod("fastapi-app.sick")["containers"][0]["volumeMounts"]}
    assert "/tmp" in mounts, "the image itself cannot be written"


def test_production_takes_tls_1_3_only(counted) -> None:
    """Edges of production take TLS 1.3, of stage 1.2 and newer; the certificate is the one that cert-manager keeps"""
    for cloud, (stage, least) in itertools.product(CLOUDS, (("stage", "1.2"), ("prod", "1.3"))):
        title = f"thalweg-edge.{cloud}.{stage}"
        (listener,) = config(title)["listener"]
        assert listener["tls"]["min_version"] == least, title
        certificate = one(rendered()[title], "Certificate")["spec"]
        volumes = {v["name"]: v["secret"] for v in pod(title)["volumes"] if "secret" in v}
        assert volumes["tls"]["secretName"] == certificate["secretName"]
        host = "stage.api.example.com" if stage == "stage" else "api.example.com"
        assert certificate["dnsNames"] == [host] == config(title)["route"]["all"]["hosts"]
    counted("edges", 2 * len(CLOUDS))


def test_keys_are_for_the_group_alone(counted) -> None:
    """Mounted secrets can be read by the pod's own group and by nobody else"""
    number = 0
    for title in EDGES:
        for volume in pod(title)["volumes"]:
            if "secret" in volume:
                assert volume["secret"]["defaultMode"] == 0o440, title
                number += 1
        assert pod(title)["securityContext"]["fsGroup"] == 65532
    counted("secrets", number)


def test_secrets_are_fetched_again(counted) -> None:
    """A changed secret arrives within an hour, and goes with the object that fetched it"""
    number = 0
    for title in SHIPPED:
        for external in of_kind(rendered()[title], "ExternalSecret"):
            assert external["spec"]["refreshInterval"] == "1h"
            assert external["spec"]["target"]["creationPolicy"] == "Owner"
            number += 1
    counted("secrets", number)


def test_no_pod_reaches_the_clouds_metadata_service(counted) -> None:
    """A way out to the whole Internet never leads to 169.254.169.254, where a node's identity is given away"""
    number = 0
    for title in SHIPPED:
        for rule in policy(title)["egress"]:
            ports = {port["port"] for port in rule["ports"]}
            for peer in rule["to"]:
                if peer.get("ipBlock", {}).get("cidr") == "0.0.0.0/0":
                    assert peer["ipBlock"]["except"] == ["169.254.169.254/32"], title
                    assert ports == {443} or title.endswith("dev"), title
                    number += 1
    assert number >= 2 * len(CLOUDS) + len(CLOUDS)
    counted("ways out", number)


def test_an_application_reaches_its_stores_and_no_more(counted) -> None:
    """Ways out of an application: names, its stores by their ports, the services it calls; payments also the Internet by TLS"""
    stores = {"api-gateway": {6379}}
    for title in APPS:
        name = title.split(".")[0]
        for rule in policy(title)["egress"][1:]:
            (peer,) = rule["to"]
            ports = {port["port"] for port in rule["ports"]}
            if "podSelector" in peer:
                assert ports == {8000}, title
            elif peer["ipBlock"]["cidr"] == "0.0.0.0/0":
                assert name == "payment-service" and ports == {443}
            else:
                assert ports == stores.get(name, {5432, 6379}), title
    counted("value sets", len(APPS))


def test_the_bake_asks_for_health(counted) -> None:
    """The check after a release asks /health, the edges' own question, through the Service"""
    for title in APPS:
        check = one(rendered()[title], "Pod")["spec"]["containers"][0]
        env = {item["name"]: item["value"] for item in check["env"]}
        assert env["URL"] == f"http://{title.split('.')[0]}:80/health", title
    counted("checks", len(APPS))


def test_prometheus_asks_every_15_seconds(counted) -> None:
    """Stage and prod: scraped every 15 s by the operator, of the ports that have /metrics"""
    number = 0
    for title in SHIPPED:
        monitors = of_kind(rendered()[title], "ServiceMonitor")
        assert bool(monitors) == (not title.endswith("dev")), title
        for monitor in monitors:
            (endpoint,) = monitor["spec"]["endpoints"]
            assert (endpoint["interval"], endpoint["path"]) == ("15s", "/metrics")
            assert endpoint["port"] == ("admin" if title in EDGES else "http")
            number += 1
    counted("monitors", number)


def test_steering_of_each_stage(counted) -> None:
    """Production steers to the nearest region and returns after 30 s, stage shares by weight, dev stays where it is"""
    for cloud in CLOUDS:
        routes = {stage: config(f"thalweg-edge.{cloud}.{stage}")["route"]["all"] for stage in STAGES}
        assert {stage: route["policy"] for stage, route in routes.items()} == {
            "dev": "failover", "stage": "weighted", "prod": "latency",
        }
        assert routes["prod"]["failback"] == {"mode": "hold", "hold": "30s"}
        assert len(routes["prod"]["pools"]) == len(routes["stage"]["pools"]) == len(CLOUDS)
    counted("routes", len(CLOUDS) * len(STAGES))


def test_operators_are_named_in_production(counted) -> None:
    """Production: the group oncall, and nobody else, is bound to the operators' role"""
    for title in PROD:
        (binding,) = of_kind(rendered()[title], "RoleBinding")
        assert binding["subjects"] == [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "oncall"}]
    for title in set(SHIPPED) - set(PROD):
        assert not of_kind(rendered()[title], "RoleBinding"), title
    counted("bindings", len(PROD))


def test_the_five_services_have_images_of_their_own(counted) -> None:
    """Each of the platform's services runs its own image, with its own secrets; the gateway knows the others by name"""
    for service, cloud in itertools.product(SERVICES, CLOUDS):
        title = f"{service}.{cloud}.prod"
        assert re.fullmatch(rf"ghcr\.io/example/{service}:\S+", pod(title)["containers"][0]["image"])
        keys = json.dumps(one(rendered()[title], "ExternalSecret")["spec"]["data"])
        assert f"{service}-redis-url" in keys and "fastapi-app" not in keys
    called = {v for k, v in environment("api-gateway.aws.prod").items() if k.endswith("_SERVICE_URL")}
    assert called == {f"http://{name}" for name in ("user-service", "order-service", "delivery-service")}
    counted("services", len(SERVICES) * len(CLOUDS))
