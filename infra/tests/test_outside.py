"""What only an outsider sees, for real: a blackbox exporter asks an edge by TLS, and Prometheus tells when no answer comes.

The copies differ from the originals in intervals, in the addresses, and in the authority that the edge's test certificate comes from.
"""

from __future__ import annotations

import json
import pathlib
import urllib.parse

import yaml
from conftest import INFRA, find_tool
from monitored import World, free_ports, get, until, world
from test_alerting_live import firing, shorter
from test_monitoring import load

OUTSIDE = INFRA / "monitoring/outside"


def write(folder: pathlib.Path, prober: int, entries: list[str]) -> None:
    blackbox = load(OUTSIDE / "blackbox.yml")
    for module in blackbox["modules"].values():
        module["http"]["tls_config"]["ca_file"] = str(folder / "site.crt")
    (folder / "blackbox.yml").write_text(yaml.safe_dump(blackbox))
    config = load(OUTSIDE / "prometheus.yml")
    config["global"].update(scrape_interval="1s", evaluation_interval="1s", scrape_timeout="1s")
    del config["alerting"]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    (folder / "rules").mkdir()
    for path in (INFRA / "monitoring/rules").glob("*.yml"):
        rules = load(path)
        for group in rules["groups"]:
            group["interval"] = "1s"
            for rule in group["rules"]:
                if "for" in rule:
                    rule["for"] = shorter(rule["for"])
        (folder / "rules" / path.name).write_text(yaml.safe_dump(rules))
    targets = folder / "targets/outside"
    targets.mkdir(parents=True)
    labels = {"vantage": "here", "prober": f"127.0.0.1:{prober}"}
    (targets / "here.yml").write_text(yaml.safe_dump([{"targets": entries, "labels": labels}]))


def successes(prometheus: int) -> dict[str, str]:
    query = urllib.parse.quote('probe_success{job="outside", vantage="here"}')
    found = json.loads(get(f"http://127.0.0.1:{prometheus}/api/v1/query?query={query}")[1])["data"]["result"]
    return {each["metric"]["instance"]: each["value"][1] for each in found}


def watch(watched: World, folder: pathlib.Path) -> tuple[int, str, str]:
    """A prober and a Prometheus; (Prometheus' port, the entry by TLS, the same edge in clear)."""
    prober, prometheus = free_ports(2)
    by_tls, in_clear = f"https://127.0.0.1:{watched.secure}/hello", f"http://127.0.0.1:{watched.web}/hello"
    write(folder, prober, [by_tls, in_clear])
    watched.processes.start(
        "blackbox",
        find_tool("prometheus-blackbox-exporter"),
        f"--config.file={folder}/blackbox.yml",
        f"--web.listen-address=127.0.0.1:{prober}",
    )
    watched.processes.start(
        "prometheus",
        find_tool("prometheus"),
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address=127.0.0.1:{prometheus}",
        cwd=folder,
    )
    return prometheus, by_tls, in_clear


def test_an_outsider_sees_what_the_edges_cannot(tmp_path: pathlib.Path, counted) -> None:
    """A prober outside is answered by TLS, takes no answer in clear, and pages when the edge is gone; edges that never were do not"""
    for tool in ("prometheus", "prometheus-blackbox-exporter"):
        find_tool(tool)
    with world(tmp_path) as watched:
        prometheus, by_tls, in_clear = watch(watched, tmp_path)
        until("an answer by TLS is good, one in clear is not", lambda: successes(prometheus) == {by_tls: "1", in_clear: "0"})
        watched.processes.kill("edge")
        until("both entries are unreachable", lambda: successes(prometheus).get(by_tls) == "0")
        until("EntryUnreachable fires", lambda: ("EntryUnreachable", "") in firing(prometheus))
        assert {name for name, _ in firing(prometheus)} <= {"EntryUnreachable", "EntryBudgetBurnsFast", "Watchdog"}
        watched.start_edge()
        until("the entry answers again", lambda: successes(prometheus).get(by_tls) == "1")
        counted("entries", 2)
