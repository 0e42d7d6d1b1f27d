"""What Prometheus makes of a target: relabelling as its documentation says, for configs that promtool cannot be asked about.

Knows the actions that our configs use; any other is an error.
"""

from __future__ import annotations

import re
from typing import Any


def plain(rule: dict[str, Any]) -> dict[str, Any]:
    """A ServiceMonitor's rule under the names that prometheus.yml uses."""
    return {re.sub("[A-Z]", lambda upper: "_" + upper[0].lower(), key): value for key, value in rule.items()}


def expand(found: re.Match[str], replacement: str) -> str:
    return found.expand(re.sub(r"\$\{?(\d+)\}?", r"\\\1", replacement))


def relabel(labels: dict[str, str], rules: list[dict[str, Any]]) -> dict[str, str] | None:
    """All labels after all rules, empty ones left out; None for a target that was dropped."""
    labels = dict(labels)
    for rule in map(plain, rules):
        action, expression = rule.get("action", "replace"), rule.get("regex", "(.*)")
        if action == "labeldrop":
            labels = {name: value for name, value in labels.items() if not re.fullmatch(expression, name)}
            continue
        if action == "labelmap":
            found = {name: re.fullmatch(expression, name) for name in labels}
            labels |= {expand(hit, rule.get("replacement", "$1")): labels[name] for name, hit in found.items() if hit}
            continue
        joined = ";".join(labels.get(name, "") for name in rule.get("source_labels", []))
        hit = re.fullmatch(expression, joined)
        if action in ("keep", "drop"):
            if bool(hit) != (action == "keep"):
                return None
        elif action == "replace":
            if hit:
                labels[rule["target_label"]] = expand(hit, rule.get("replacement", "$1"))
        else:
            raise ValueError(f"unknown action {action}")
    return {name: value for name, value in labels.items() if value}


def kept(labels: dict[str, str] | None) -> dict[str, str]:
    """A scraped target's own labels: without those that begin with `__`, with `instance` as Prometheus sets it."""
    assert labels is not None, "the target is dropped"
    named = {name: value for name, value in labels.items() if not name.startswith("__")}
    return {"instance": labels["__address__"]} | named


def pod_meta(pod: dict[str, Any], name: str, namespace: str, address: str) -> dict[str, str]:
    """What discovery by pod says of one: labels, annotations, name."""
    safe = {"labels": "label", "annotations": "annotation"}
    meta = {
        f"__meta_kubernetes_pod_{kind}_{re.sub(r'[^a-zA-Z0-9_]', '_', key)}": str(value)
        for field, kind in safe.items()
        for key, value in (pod["metadata"].get(field) or {}).items()
    }
    return meta | {
        "__address__": address,
        "__meta_kubernetes_namespace": namespace,
        "__meta_kubernetes_pod_name": name,
        "__meta_kubernetes_pod_phase": "Running",
    }


def by_operator(monitor: dict[str, Any], service: dict[str, Any], meta: dict[str, str]) -> dict[str, str]:
    """The target that the Prometheus operator makes of a ServiceMonitor's one endpoint: its own labels first, then `relabelings`."""
    (endpoint,) = monitor["spec"]["endpoints"]
    labels = meta | {
        "namespace": meta["__meta_kubernetes_namespace"],
        "pod": meta["__meta_kubernetes_pod_name"],
        "service": service["metadata"]["name"],
        "container": "some",
        "endpoint": endpoint["port"],
        "job": service["metadata"]["name"],
    }
    for name in monitor["spec"].get("podTargetLabels", []):
        safe = re.sub(r"[^a-zA-Z0-9_]", "_", name)
        labels[safe] = meta[f"__meta_kubernetes_pod_label_{safe}"]
    return kept(relabel(labels, endpoint.get("relabelings", [])))
