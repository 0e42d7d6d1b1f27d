"""What promtool and amtool cannot see: which silence is too wide, what must not be kept, what each image may run."""

from __future__ import annotations

import re

import yaml
from conftest import INFRA
from test_monitoring import ALERTMANAGER, MONITORING, alerts, jobs, load

# The labels that tell one lost thing from another, by the alert that speaks for others.
SPEAKS_FOR = {
    "RegionDown": {"cloud", "region"},
    "CertificateExpiresNow": {"listener", "name"},
    "ErrorBudgetBurnsFast": {"route"},
    "ErrorBudgetBurns": {"route"},
    "EdgeAbsent": {"cluster"},
    "ServiceDown": {"service", "cloud", "region"},
    "EntryUnreachable": {"instance"},
}


def test_one_region_does_not_silence_another(counted) -> None:
    """An inhibition holds for the very same place, certificate or route, and for no other"""
    rules = load(ALERTMANAGER)["inhibit_rules"]
    for rule in rules:
        (source,) = [re.fullmatch(r'alertname="(\w+)"', each)[1] for each in rule["source_matchers"]]
        assert set(rule["equal"]) == SPEAKS_FOR[source], (source, rule["equal"])
        assert not any("Watchdog" in each for each in rule["target_matchers"])
    counted("inhibitions", len(rules))


def seconds(written: str) -> int:
    number, unit = re.fullmatch(r"(\d+)([smhd])", written).groups()
    return int(number) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[unit]


def test_the_watchdog_keeps_coming() -> None:
    """The Watchdog is first among the routes, waits for nothing, and comes at least every five minutes"""
    first = load(ALERTMANAGER)["route"]["routes"][0]
    assert first["matchers"] == ['alertname="Watchdog"'] and not first.get("continue")
    assert seconds(first["group_wait"]) == 0
    assert seconds(first["group_interval"]) <= seconds(first["repeat_interval"]) <= 300


def test_kube_state_metrics_speaks_of_others() -> None:
    """The labels of kube-state-metrics are those of the objects that it tells of, and no other job may name itself"""
    honoured = {name for name, job in jobs(load(MONITORING / "prometheus/prometheus.yml")).items() if job.get("honor_labels")}
    assert honoured == {"kube-state-metrics"}, honoured


def test_clients_that_hang_up_are_no_requests(counted) -> None:
    """Every ratio and rate of requests leaves out clients that hung up, in numerator and denominator"""
    rules = [rule for group in load(MONITORING / "rules/recording.yml")["groups"] for rule in group["rules"]]
    asked = [selector for rule in rules for selector in re.findall(r"thalweg_requests_total(\{[^}]*\})?\[", rule["expr"])]
    assert asked and set(asked) == {'{code_class!="client_gone"}', '{code_class="5xx"}'}, set(asked)
    counted("selectors", len(asked))


def test_what_must_not_be_kept_is_not() -> None:
    """Neither logs nor traces keep tokens, cookies or query strings"""
    pipeline = load(MONITORING / "logs/fluent-bit.yaml")["pipeline"]
    removed = {key for each in pipeline["filters"] if each["name"] == "record_modifier" for key in each["remove_key"]}
    assert {"authorization", "cookie", "set-cookie"} <= removed
    config = load(MONITORING / "traces/otel-collector.yaml")
    deleted = {each["key"] for each in config["processors"]["attributes/private"]["actions"] if each["action"] == "delete"}
    assert {"http.request.header.authorization", "http.request.header.cookie", "url.query"} <= deleted
    order = config["service"]["pipelines"]["traces"]["processors"]
    assert order.index("attributes/private") < order.index("batch"), order


def test_logs_outlive_an_absent_store() -> None:
    """While Loki is away lines wait on disk, within a bound, and are tried again without an end"""
    pipeline = load(MONITORING / "logs/fluent-bit.yaml")["pipeline"]
    assert all(each["storage.type"] == "filesystem" for each in pipeline["inputs"])
    (output,) = pipeline["outputs"]
    assert output["retry_limit"] == "no_limits" and output["storage.total_limit_size"] == "512M"


def test_logs_end() -> None:
    """Logs are deleted after thirty days"""
    config = load(MONITORING / "logs/loki.yaml")
    assert config["compactor"]["retention_enabled"] is True
    assert seconds(config["limits_config"]["retention_period"]) == 30 * 86400


def test_traces_are_sent_by_verified_tls() -> None:
    """The collector verifies who takes its traces"""
    exporters = load(MONITORING / "traces/otel-collector.yaml")["exporters"]
    for name, exporter in exporters.items():
        tls = exporter["tls"]
        assert tls.get("ca_file") and not tls.get("insecure") and not tls.get("insecure_skip_verify"), name


def test_falco_allows_each_image_its_own() -> None:
    """An edge's container runs the edge, the application's Python and uvicorn; neither runs a shell"""
    rules = yaml.safe_load((INFRA / "monitoring/falco/rules.yaml").read_text())
    lists = {each["list"]: set(each["items"]) for each in rules if "list" in each}
    assert lists["thalweg_binaries"] == {"thalweg"}
    assert not (lists["fastapi_binaries"] & lists["interactive_shells"])
    said = {each["rule"]: each["condition"] for each in rules if "rule" in each}
    for container, allowed in (("thalweg_container", "thalweg_binaries"), ("fastapi_container", "fastapi_binaries")):
        (condition,) = [text for text in said.values() if f"and {container} and" in text]
        assert condition.endswith(f"not proc.name in ({allowed})"), condition


# What may wake someone: a place, a route, a certificate, a service, the watch itself.
PAGES = {
    "ServiceDown",
    "EdgeAbsent",
    "TooFewEdges",
    "RegionDown",
    "Panic",
    "TrafficStopped",
    "HighErrorRate",
    "CertificateExpiresNow",
    "ErrorBudgetBurnsFast",
    "ErrorBudgetBurns",
    "EntryUnreachable",
    "EntryBudgetBurnsFast",
    "RulesFailing",
    "NotificationsFailing",
}


def test_what_pages_is_no_single_thing(counted) -> None:
    """Nobody is woken for one pod, edge, endpoint or node: what pages is about a place, a route or a service, and is listed here"""
    pages = {name: rule for name, rule in alerts().items() if rule["labels"]["severity"] == "critical"}
    assert set(pages) == PAGES, set(pages) ^ PAGES
    for name, rule in pages.items():
        told = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
        # `instance` of an entry is its address; a rule that fails is told by its own Prometheus.
        assert not told & {"pod", "endpoint", "node", "container"} and ("instance" not in told or name.startswith("Entry")), (name, told)
    counted("alerts", len(pages))
