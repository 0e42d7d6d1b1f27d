"""Logs, traces and Falco: files for programs that no registry carries, so their structure is what can be checked."""

from __future__ import annotations

import re
from typing import Any

from k8s import SERVICES, STAGES, Manifest, overlay, render, values_of
from test_monitoring import MONITORING, load


def pipelines_are_complete(config: dict[str, Any]) -> int:
    """Every part that a pipeline of a collector names is defined, and every part that is defined is named."""
    for kind in ("receivers", "processors", "exporters"):
        named = {
            part for pipeline in config["service"]["pipelines"].values() for part in pipeline[kind]
        }
        assert named == set(config[kind]), f"{kind}: {named ^ set(config[kind])}"
    assert set(config["service"]["extensions"]) == set(config["extensions"])
    return sum(len(config[kind]) for kind in ("receivers", "processors", "exporters", "extensions"))


def test_otel_collector(counted) -> None:
    """The collector takes OTLP, keeps errors, strips credentials, guards its memory first, sends with TLS to Jaeger"""
    config = load(MONITORING / "traces/otel-collector.yaml")
    counted("parts", pipelines_are_complete(config))
    pipeline = config["service"]["pipelines"]["traces"]
    assert pipeline["processors"][0] == "memory_limiter" and pipeline["processors"][-1] == "batch"
    assert set(config["receivers"]["otlp"]["protocols"]) == {"grpc", "http"}
    removed = {
        each["key"]
        for each in config["processors"]["attributes/private"]["actions"]
        if each["action"] == "delete"
    }
    assert {"http.request.header.authorization", "http.request.header.cookie"} <= removed
    assert "insecure" not in config["exporters"]["otlp/jaeger"]["tls"]


def test_jaeger() -> None:
    """Jaeger receives over TLS what the collector sends, and stores where it reads"""
    config = load(MONITORING / "traces/jaeger.yaml")
    pipelines_are_complete(config)
    grpc = config["receivers"]["otlp"]["protocols"]["grpc"]
    sends_to = load(MONITORING / "traces/otel-collector.yaml")["exporters"]["otlp/jaeger"][
        "endpoint"
    ]
    assert grpc["endpoint"].rpartition(":")[2] == sends_to.rpartition(":")[2] and set(
        grpc["tls"]
    ) == {"cert_file", "key_file"}
    store = config["exporters"]["jaeger_storage_exporter"]["trace_storage"]
    assert store in config["extensions"]["jaeger_storage"]["backends"]
    assert config["extensions"]["jaeger_query"]["storage"]["traces"] == store


FLUENT_BIT = {
    "tail": {
        "path",
        "multiline.parser",
        "tag",
        "db",
        "storage.type",
        "mem_buf_limit",
        "skip_long_lines",
    },
    "kubernetes": {
        "match",
        "merge_log",
        "keep_log",
        "k8s-logging.exclude",
        "labels",
        "annotations",
    },
    "record_modifier": {"match", "remove_key"},
    "loki": {
        "match",
        "host",
        "port",
        "labels",
        "label_keys",
        "line_format",
        "storage.total_limit_size",
        "retry_limit",
    },
}


def test_fluent_bit(counted) -> None:
    """fluent-bit tails containers, buffers on disk, and sends to Loki with bounded labels"""
    config = load(MONITORING / "logs/fluent-bit.yaml")
    assert set(config) == {"service", "pipeline"} and config["service"]["storage.path"]
    stages = [
        stage for kind in ("inputs", "filters", "outputs") for stage in config["pipeline"][kind]
    ]
    for stage in stages:
        assert set(stage) - {"name"} <= FLUENT_BIT[stage["name"]], stage
    tail, loki = stages[0], stages[-1]
    assert tail["storage.type"] == "filesystem" and loki["name"] == "loki"
    for unbounded in ("request_id", "path", "client", "pod_name", "container_id"):
        assert unbounded not in loki["labels"], f"{unbounded} is not bounded"
    assert str(loki["port"]) == str(
        load(MONITORING / "logs/loki.yaml")["server"]["http_listen_port"]
    )
    counted("stages", len(stages))


def test_loki() -> None:
    """Loki uses the current schema and index, forgets after its retention, and reports to nobody"""
    config = load(MONITORING / "logs/loki.yaml")
    known = {
        "auth_enabled",
        "server",
        "common",
        "schema_config",
        "storage_config",
        "limits_config",
        "compactor",
        "analytics",
    }
    assert set(config) == known
    (period,) = config["schema_config"]["configs"]
    assert (period["store"], period["schema"]) == ("tsdb", "v13") and period["index"][
        "period"
    ] == "24h"
    assert (
        config["compactor"]["retention_enabled"]
        and config["limits_config"]["retention_period"] == "720h"
    )
    assert config["compactor"]["delete_request_store"] == period["object_store"]
    assert config["analytics"] == {"reporting_enabled": False}


def test_falco(counted) -> None:
    """Falco: our binary is allowed, lists and macros that rules use exist, new files that run are noticed"""
    items = load(MONITORING / "falco/rules.yaml")
    lists = {item["list"]: item["items"] for item in items if "list" in item}
    macros = {item["macro"]: item["condition"] for item in items if "macro" in item}
    rules = {item["rule"]: item for item in items if "rule" in item}
    assert lists["thalweg_binaries"] == ["thalweg"] and "uvicorn" in lists["fastapi_binaries"]
    field = re.compile(r"\b(evt|proc|container|user|k8s|fd)\.[a-z_.]+")
    words = {"and", "or", "not", "in", "endswith", "host", "true", "execve", "execveat"}
    used: set[str] = set()
    for name, condition in [
        *macros.items(),
        *((name, rule["condition"]) for name, rule in rules.items()),
    ]:
        plain = re.sub(r'"[^"]*"', "", field.sub("", condition))
        names = set(re.findall(r"[a-z_]{2,}", plain)) - words
        assert names <= set(lists) | set(macros), f"{name}: {names - set(lists) - set(macros)}"
        used |= names
    assert used == set(lists) | set(macros), f"never used: {set(lists) | set(macros) - used}"
    for name, rule in rules.items():
        assert set(rule) == {"rule", "desc", "condition", "output", "priority", "tags"}, name
        assert rule["priority"] in {"CRITICAL", "ERROR", "WARNING", "NOTICE"}, name
        assert "%proc.cmdline" in rule["output"] and "%k8s.pod.name" in rule["output"], name
    assert "proc.is_exe_upper_layer = true" in rules["New file executed"]["condition"]
    counted("rules", len(rules))


def matched(condition: str, image: str) -> bool:
    """Whether a macro over container.image.repository matches an image: by its endings, or by its last word."""
    assert "container.image.repository" in condition, condition
    return any(image.endswith(end) for end in re.findall(r'"(/[^"]+)"', condition))


def test_falco_knows_our_images(counted) -> None:
    """Each image that the charts and the plain cluster run is one that Falco's macros match, and no other"""
    macros = {each["macro"]: each["condition"] for each in load(MONITORING / "falco/rules.yaml") if "macro" in each}
    sets = [("fastapi-app", name) for name in ("", *SERVICES)] + [("thalweg-edge", "")]
    images = {(chart, image_of(chart, name)) for chart, name in sets}
    images |= {("fastapi-app", image) for image in plain_images()}
    assert len({image.rpartition("/")[2] for _, image in images}) == 7, images
    for chart, image in images:
        # The last word is enough: a registry of one's own has another host, and a deeper path.
        for name in (image, "registry.example.com/team/" + image.rpartition("/")[2]):
            found = {macro for macro in ("thalweg_container", "fastapi_image") if matched(macros[macro], name)}
            assert found == {"thalweg_container" if chart == "thalweg-edge" else "fastapi_image"}, name
    assert "fastapi_image" in macros["fastapi_container"]
    assert not matched(macros["fastapi_image"], "ghcr.io/example/other-service")
    ends = re.findall(r'"/([^"]+)"', macros["fastapi_image"])
    assert set(ends) == {image.rpartition("/")[2] for chart, image in images if chart == "fastapi-app"}
    counted("images", len(images))


def image_of(chart: str, service: str) -> str:
    """The image's name, without tag, that a chart runs for a service."""
    manifests = render(chart, values_of(chart, "aws", "prod", *([service] if service else [])))
    return of_workload(manifests)


def of_workload(manifests: list[Manifest]) -> str:
    (workload,) = [each for each in manifests if each["kind"] in {"Deployment", "DaemonSet"}]
    (container,) = workload["spec"]["template"]["spec"]["containers"]
    return re.sub(r"(@|:)[^/]*$", "", container["image"])


def plain_images() -> set[str]:
    return {of_workload(overlay(f"overlays/{stage}")) for stage in STAGES}
