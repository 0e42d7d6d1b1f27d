"""What no manifest of this project may do, whoever rendered it.

Each policy is a function of one set of manifests (what lands in a cluster together) that yields a
sentence for every violation. Its first docstring line is the rule; `bad/NAME.yaml` is an example
that it must refuse. Schemas are checked elsewhere: these rules are about what is valid and still
wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

Manifest = dict[str, Any]
Policy = Callable[[list[Manifest]], Iterator[str]]
POLICIES: dict[str, Policy] = {}

WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob", "Pod")
ADMIN_PORT = 9900
SECRET_WORDS = re.compile(
    r"(PASSWORD|PASSWD|TOKEN|SECRET|_KEY|DATABASE_URL|REDIS_URL)$", re.IGNORECASE
)
CREDENTIAL = re.compile(
    r"://[^/\s:@]+:(?!\$\(\w+\)@)[^/\s:@]+@|-----BEGIN [A-Z ]*PRIVATE KEY"
    r"|AKIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{36}"
)


def policy(rule: Policy) -> Policy:
    POLICIES[rule.__name__.replace("_", "-")] = rule
    return rule


def judge(manifests: list[Manifest]) -> list[str]:
    """Every violation of every policy."""
    return [f"{name}: {said}" for name, rule in POLICIES.items() for said in rule(manifests)]


def title(manifest: Manifest) -> str:
    return f"{manifest['kind']} {manifest['metadata']['name']}"


def namespace(manifest: Manifest) -> str:
    return manifest["metadata"].get("namespace", "default")


def kinds(manifests: Iterable[Manifest], *names: str) -> list[Manifest]:
    return [manifest for manifest in manifests if manifest["kind"] in names]


def pod_template(workload: Manifest) -> Manifest:
    if workload["kind"] == "Pod":
        return workload
    spec = workload["spec"]
    return (spec["jobTemplate"]["spec"] if workload["kind"] == "CronJob" else spec)["template"]


def pods(manifests: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    for workload in kinds(manifests, *WORKLOADS):
        yield title(workload), pod_template(workload)["spec"]


def containers(manifests: list[Manifest]) -> Iterator[tuple[str, Manifest, Manifest]]:
    """(where, pod, container), those that run first included."""
    for where, pod in pods(manifests):
        for container in [*pod.get("initContainers", []), *pod["containers"]]:
            yield f"{where}/{container['name']}", pod, container


def selects(selector: Manifest, labels: Manifest) -> bool:
    return (selector.get("matchLabels") or {}).items() <= labels.items()


@policy
def no_root(manifests: list[Manifest]) -> Iterator[str]:
    """Containers run as a numbered user, not root, without privileges, on a read-only image."""
    for where, pod, container in containers(manifests):
        own, shared = container.get("securityContext", {}), pod.get("securityContext", {})
        both = shared | own
        if (
            both.get("runAsNonRoot") is not True
            or not isinstance(both.get("runAsUser"), int)
            or not both["runAsUser"]
        ):
            yield f"{where} may be root"
        if own.get("allowPrivilegeEscalation") is not False or own.get("privileged"):
            yield f"{where} may gain privileges"
        if own.get("capabilities", {}).get("drop") != ["ALL"]:
            yield f"{where} keeps capabilities"
        if own.get("readOnlyRootFilesystem") is not True:
            yield f"{where} may write into its image"
        if both.get("seccompProfile", {}).get("type") != "RuntimeDefault":
            yield f"{where} has no seccomp profile"


@policy
def limits(manifests: list[Manifest]) -> Iterator[str]:
    """Every container says what it needs and what it may have, of CPU and of memory."""
    for where, _, container in containers(manifests):
        for part in ("requests", "limits"):
            missing = {"cpu", "memory"} - set(container.get("resources", {}).get(part, {}))
            if missing:
                yield f"{where} has no {part} of {', '.join(sorted(missing))}"


@policy
def fixed_image(manifests: list[Manifest]) -> Iterator[str]:
    """Images are named by a digest or a tag that says which one, never latest."""
    for where, _, container in containers(manifests):
        image = container["image"]
        tag = image.rpartition("/")[2].partition(":")[2]
        if "@sha256:" not in image and tag in ("", "latest"):
            yield f"{where} runs {image}"


@policy
def probes(manifests: list[Manifest]) -> Iterator[str]:
    """What serves is asked whether it has started, is ready and is alive."""
    for workload in kinds(manifests, "Deployment", "StatefulSet", "DaemonSet"):
        for container in pod_template(workload)["spec"]["containers"]:
            missing = [
                kind
                for kind in ("startup", "readiness", "liveness")
                if f"{kind}Probe" not in container
            ]
            if missing:
                yield f"{title(workload)} has no probe for {', '.join(missing)}"


@policy
def no_api_token(manifests: list[Manifest]) -> Iterator[str]:
    """No pod has a token for the API unless a role is bound to its account."""
    bound = {
        (subject.get("namespace"), subject["name"])
        for binding in kinds(manifests, "RoleBinding", "ClusterRoleBinding")
        for subject in binding.get("subjects", [])
        if subject["kind"] == "ServiceAccount"
    }
    for workload in kinds(manifests, *WORKLOADS):
        pod = pod_template(workload)["spec"]
        account = (namespace(workload), pod.get("serviceAccountName", "default"))
        if pod.get("automountServiceAccountToken") is not False and account not in bound:
            yield f"{title(workload)} has a token that it needs for nothing"


@policy
def no_wildcard_rights(manifests: list[Manifest]) -> Iterator[str]:
    """Roles name what they allow, and nobody is bound to a cluster's administrator."""
    for role in kinds(manifests, "Role", "ClusterRole"):
        for rule in role.get("rules") or []:
            if any(
                "*" in rule.get(part, [])
                for part in ("apiGroups", "resources", "verbs", "nonResourceURLs")
            ):
                yield f"{title(role)} allows everything of something"
    for binding in kinds(manifests, "RoleBinding", "ClusterRoleBinding"):
        if binding["roleRef"]["name"] in ("cluster-admin", "admin", "edit"):
            yield f"{title(binding)} makes an administrator"


@policy
def default_deny(manifests: list[Manifest]) -> Iterator[str]:
    """Each namespace with pods denies all traffic that no policy names."""
    denied = {
        namespace(rule)
        for rule in kinds(manifests, "NetworkPolicy")
        if not rule["spec"].get("podSelector")
        and set(rule["spec"].get("policyTypes", [])) == {"Ingress", "Egress"}
        and not rule["spec"].get("ingress")
        and not rule["spec"].get("egress")
    }
    for open_one in sorted(
        {namespace(workload) for workload in kinds(manifests, *WORKLOADS)} - denied
    ):
        yield f"namespace {open_one} has no default deny"


@policy
def no_literal_secret(manifests: list[Manifest]) -> Iterator[str]:
    """Secrets come from where they are kept: none in a Secret, an environment or a config."""
    for secret in kinds(manifests, "Secret"):
        if secret.get("data") or secret.get("stringData"):
            yield f"{title(secret)} is written down"
    for where, _, container in containers(manifests):
        for item in container.get("env", []):
            if item.get("value") and SECRET_WORDS.search(item["name"]):
                yield f"{where} is given {item['name']} in clear"
    for manifest in manifests:
        if CREDENTIAL.search(str(manifest)):
            yield f"{title(manifest)} holds a credential"


@policy
def admin_port_inside(manifests: list[Manifest]) -> Iterator[str]:
    """The edge's admin port is reached from inside the cluster only, and there not by clients."""
    admin_names = {
        port["name"]
        for _, _, container in containers(manifests)
        for port in container.get("ports", [])
        if port["containerPort"] == ADMIN_PORT and "name" in port
    } | {ADMIN_PORT}
    for service in kinds(manifests, "Service"):
        ports = service["spec"].get("ports", [])
        reached = [
            p for p in ports if p["port"] == ADMIN_PORT or p.get("targetPort") in admin_names
        ]
        if reached and service["spec"].get("type", "ClusterIP") != "ClusterIP":
            yield f"{title(service)} shows the admin port outside"
    for rule in kinds(manifests, "NetworkPolicy"):
        for entry in rule["spec"].get("ingress") or []:
            open_to_all = not entry.get("from") or any("ipBlock" in peer for peer in entry["from"])
            if open_to_all and ADMIN_PORT in [
                port.get("port", ADMIN_PORT) for port in entry.get("ports", [{}])
            ]:
                yield f"{title(rule)} lets clients to the admin port"
    for workload in kinds(manifests, "Deployment", "DaemonSet"):
        pod = pod_template(workload)["spec"]
        config = " ".join(str(m.get("data")) for m in kinds(manifests, "ConfigMap"))
        if pod.get("hostNetwork") and f"0.0.0.0:{ADMIN_PORT}" in config:
            yield f"{title(workload)} listens for orders on the node's addresses"


@policy
def budget_fits(manifests: list[Manifest]) -> Iterator[str]:
    """A disruption budget selects pods and lets one go, also when they are as few as may be."""
    workloads = kinds(manifests, "Deployment", "StatefulSet")
    scalers = {
        s["spec"]["scaleTargetRef"]["name"]: s for s in kinds(manifests, "HorizontalPodAutoscaler")
    }
    for budget in kinds(manifests, "PodDisruptionBudget"):
        spec = budget["spec"]
        mine = [
            w for w in workloads if selects(spec["selector"], pod_template(w)["metadata"]["labels"])
        ]
        if not mine:
            yield f"{title(budget)} selects nothing"
        for workload in mine:
            scaler = scalers.get(workload["metadata"]["name"])
            least = scaler["spec"]["minReplicas"] if scaler else workload["spec"].get("replicas", 1)
            blocks = (
                "minAvailable" in spec
                and str(spec["minAvailable"]).isdigit()
                and int(spec["minAvailable"]) >= least
            )
            if (
                blocks
                or str(spec.get("maxUnavailable")) in ("0", "0%")
                or spec.get("minAvailable") == "100%"
            ):
                yield f"{title(budget)} never lets a node be drained"
    budgets = kinds(manifests, "PodDisruptionBudget")
    for workload in kinds(manifests, "Deployment"):
        labels = pod_template(workload)["metadata"]["labels"]
        if not any(selects(budget["spec"]["selector"], labels) for budget in budgets):
            yield f"{title(workload)} has no disruption budget"


@policy
def one_owner_of_replicas(manifests: list[Manifest]) -> Iterator[str]:
    """The number of pods is said by the Deployment or by its autoscaler, never by both."""
    targets = {
        s["spec"]["scaleTargetRef"]["name"] for s in kinds(manifests, "HorizontalPodAutoscaler")
    }
    for workload in kinds(manifests, "Deployment"):
        if workload["metadata"]["name"] in targets and "replicas" in workload["spec"]:
            yield f"{title(workload)} sets replicas beside its autoscaler"
    for scaler in kinds(manifests, "HorizontalPodAutoscaler"):
        if "scaleDown" not in scaler["spec"].get("behavior", {}):
            yield f"{title(scaler)} does not say how slowly it goes down"


def can_i(manifests: list[Manifest], verb: str, group: str, resource: str, subject: str) -> bool:
    """`kubectl auth can-i VERB RESOURCE --as=SUBJECT`, derived from rendered roles and bindings."""

    def is_meant(entry: Manifest, home: str) -> bool:
        if entry["kind"] == "ServiceAccount":
            return (
                subject == f"system:serviceaccount:{entry.get('namespace', home)}:{entry['name']}"
            )
        groups = {"system:authenticated", "system:serviceaccounts"}
        groups.add(":".join(["system:serviceaccounts", *subject.split(":")[2:3]]))
        return entry["name"] == subject if entry["kind"] == "User" else entry["name"] in groups

    def allows(rule: Manifest) -> bool:
        parts = (("verbs", verb), ("apiGroups", group), ("resources", resource))
        named = all({wanted, "*"} & set(rule.get(part, [])) for part, wanted in parts)
        return named and not rule.get("resourceNames")

    roles = {
        (r["kind"], r["metadata"]["name"]): r.get("rules") or []
        for r in kinds(manifests, "Role", "ClusterRole")
    }
    built_in = {"cluster-admin": True, "admin": True, "edit": True}
    for binding in kinds(manifests, "RoleBinding", "ClusterRoleBinding"):
        if any(is_meant(entry, namespace(binding)) for entry in binding.get("subjects", [])):
            ref = binding["roleRef"]
            rules = roles.get((ref["kind"], ref["name"]))
            if (
                built_in.get(ref["name"], False)
                if rules is None
                else any(allows(rule) for rule in rules)
            ):
                return True
    return False
