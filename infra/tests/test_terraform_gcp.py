"""What Terraform for Google Cloud means: ways in and out, keys, identities, state, and names that the charts ask for."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from conftest import INFRA, find_kit, run
from terraform import ADDRESSES, TERRAFORM, Plan, Resource, blocks, environments, examples, first, hcl, name, planned

EVERYWHERE = "0.0.0.0/0"
# Where each thing that stores something names its customer key.
KEYS = {
    "google_artifact_registry_repository": "kms_key_name",
    "google_compute_disk": "disk_encryption_key.kms_key_self_link",
    "google_compute_instance": "boot_disk.kms_key_self_link",
    "google_container_cluster": "database_encryption.key_name",
    "google_container_node_pool": "node_config.boot_disk_kms_key",
    "google_gke_backup_backup_plan": "backup_config.encryption_key.gcp_kms_encryption_key",
    "google_memorystore_instance": "kms_key",
    "google_pubsub_topic": "kms_key_name",
    "google_secret_manager_secret": "replication.user_managed.replicas.customer_managed_encryption.kms_key_name",
    "google_sql_database_instance": "encryption_key_name",
    "google_storage_bucket": "encryption.default_kms_key_name",
}
# Types of Google's whose names say that they store something.
STORES = re.compile(
    r"_(bucket|disk|instance|topic|secret|repository|backup_plan|node_pool|dataset|table)$|^google_container_cluster$"
)
PRIMITIVE = re.compile(r"roles/(owner|editor)$")


def google() -> list[Resource]:
    """Everything of Google's that all examples together would make."""
    return [resource for resource in planned(tuple(examples())).resources if resource.type.startswith("google_")]


def ours() -> list:
    return [folder for folder in environments() if folder.name.startswith("gcp-")]


def said(expressions: Any, path: str) -> bool:
    """Whether a configuration sets a nested argument, in every block of that name."""
    head, _, rest = path.partition(".")
    inner = (expressions or {}).get(head)
    if not rest:
        return isinstance(inner, dict) and bool(inner.get("references") or inner.get("constant_value"))
    return isinstance(inner, list) and bool(inner) and all(said(block, rest) for block in inner)


def unkeyed(resource: Resource) -> bool:
    return resource.type in KEYS and not said(resource.expressions, KEYS[resource.type])


def opened(resource: Resource) -> list[str]:
    """The ports that a firewall rule opens to the Internet."""
    values = resource.values
    if EVERYWHERE not in (values.get("source_ranges") or []) or values.get("direction") == "EGRESS":
        return []
    return [f"{rule['protocol']}/{port}" for rule in values.get("allow") or [] for port in rule.get("ports") or ["all"]]


# --- ways ------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_no_way_out_without_a_tag(counted) -> None:
    """no route leads a machine without a tag to the Internet, and no network keeps Google's own route"""
    plan = google()
    routes = [one for one in plan if one.type == "google_compute_route" and one.values.get("next_hop_gateway")]
    networks = [one for one in plan if one.type == "google_compute_network"]
    wrong = [one.address for one in routes if not one.values.get("tags")]
    wrong += [one.address for one in networks if not one.values.get("delete_default_routes_on_create")]
    assert routes and networks and not wrong, "\n".join(wrong)
    counted("routes", len(routes))


@pytest.mark.slow
def test_only_443_is_open(counted) -> None:
    """no firewall rule opens more than 443 to the Internet"""
    rules = [one for one in google() if one.type == "google_compute_firewall"]
    wrong = [f"{one.address}: {port}" for one in rules for port in opened(one) if port != "tcp/443"]
    assert rules and not wrong, "\n".join(wrong)
    bad = Resource(
        "x",
        "google_compute_firewall",
        "google",
        {"source_ranges": [EVERYWHERE], "allow": [{"protocol": "tcp", "ports": ["22"]}]},
        {},
        {},
    )
    assert opened(bad) == ["tcp/22"], "the check notices nothing"
    counted("rules", len(rules))


@pytest.mark.slow
def test_nothing_has_an_address_that_needs_none() -> None:
    """nodes, databases and machines have no external address"""
    wrong = []
    for one in google():
        if one.type == "google_container_node_pool":
            wrong += [one.address for block in one.values["network_config"] if not block["enable_private_nodes"]]
        if one.type == "google_sql_database_instance":
            wrong += [one.address for block in one.values["settings"] if block["ip_configuration"][0]["ipv4_enabled"]]
        if one.type == "google_compute_instance":
            wrong += [one.address for block in one.values["network_interface"] if block.get("access_config")]
    assert not wrong, "\n".join(wrong)


# --- keys and identities -----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_everything_stored_has_a_customer_key(counted) -> None:
    """every thing of Google's that stores something names a customer key"""
    stored = [one for one in google() if STORES.search(one.type)]
    wrong = [f"{one.address}: {one.type} is not known to this check" for one in stored if one.type not in KEYS]
    wrong += [one.address for one in stored if unkeyed(one)]
    assert len({one.type for one in stored}) >= 9 and not wrong, "\n".join(wrong)
    assert unkeyed(
        Resource("x", "google_storage_bucket", "google", {}, {}, {"encryption": [{}]})
    ), "the check notices nothing"
    counted("stores", len(stored))


@pytest.mark.slow
def test_keys_rotate_and_survive() -> None:
    """every encrypting key rotates within 90 days, and none is gone within 30"""
    keys = [one for one in google() if one.type == "google_kms_crypto_key"]
    encrypting = [one for one in keys if one.values.get("purpose") in (None, "ENCRYPT_DECRYPT")]
    wrong = [
        one.address
        for one in encrypting
        if int(one.values.get("rotation_period", "0s").rstrip("s") or 0) not in range(1, 7776001)
    ]
    wrong += [one.address for one in keys if int(one.values["destroy_scheduled_duration"].rstrip("s")) < 2592000]
    assert encrypting and not wrong, "\n".join(wrong)


@pytest.mark.slow
def test_no_grant_is_primitive(counted) -> None:
    """no grant hands out owner or editor, or anything to the public"""
    grants = [one for one in google() if one.type.endswith(("_iam_member", "_iam_binding"))]
    wrong = [one.address for one in grants if PRIMITIVE.search(one.values.get("role", ""))]
    wrong += [one.address for one in grants if one.values.get("member") in ("allUsers", "allAuthenticatedUsers")]
    assert grants and not wrong, "\n".join(wrong)
    counted("grants", len(grants))


@pytest.mark.slow
def test_no_account_key_is_made() -> None:
    """no file makes a key of an account, and the bootstrap forbids them in every project"""
    files = [file for file in TERRAFORM.rglob("*.tf") if ".terraform" not in file.parts]
    assert not [name(file) for file in files if "google_service_account_key" in file.read_text()]
    forbidden = [one.values["name"] for one in google() if one.type == "google_org_policy_policy"]
    assert len([found for found in forbidden if found.endswith("/iam.disableServiceAccountKeyCreation")]) >= 2


# --- environments --------------------------------------------------------------------------------------------------------


def test_environments_are_thin_and_alike() -> None:
    """environments have the same variables and outputs, call one module beside the budget, and take their addresses from the one plan"""
    assert [folder.parent.name for folder in ours()] == ["development", "production", "staging"]
    for part in ("variables.tf", "outputs.tf"):
        assert len({(folder / part).read_text() for folder in ours()}) == 1, part
    for folder in ours():
        calls = blocks(folder, "module")
        assert list(calls) == ["budget", "region"] and len((folder / "main.tf").read_text().splitlines()) <= 60, name(folder)
        assert f'["{folder.parent.name}"]["{folder.name}"]' in (folder / "main.tf").read_text(), name(folder)


def test_states_are_apart() -> None:
    """each environment's state has a bucket of its own, which Google locks, and a prefix of its folder's name"""
    found = {}
    for folder in ours():
        backend = hcl(folder / "versions.tf")["terraform"][0]["backend"][0]["gcs"]
        assert first(backend, "prefix") == folder.name
        found[folder.parent.name] = first(backend, "bucket")
    assert all(bucket.endswith(f"-state-{environment}") for environment, bucket in found.items()), found
    assert len(set(found.values())) == len(found)


@pytest.mark.slow
@pytest.mark.parametrize("folder", ours(), ids=name)
def test_environment(folder, tmp_path, counted) -> None:
    """an environment, planned: its addresses, three zones, keys, nothing open, and values that the charts take"""
    plan: Plan = planned(folder)
    wanted = ADDRESSES[folder.parent.name][folder.name]
    (private,) = [one for one in plan.all("google_compute_subnetwork") if one.values["name"].endswith("-private")]
    ranges = {one["range_name"]: one["ip_cidr_range"] for one in private.values["secondary_ip_range"]}
    assert private.values["ip_cidr_range"].startswith(wanted["network"].rsplit(".", 2)[0]), private.values[
        "ip_cidr_range"
    ]
    assert ranges == {"pods": wanted["pods"], "services": wanted["services"]}
    (pool,) = plan.all("google_container_node_pool")
    assert len(pool.values["node_locations"]) == 3 and pool.values["autoscaling"][0]["total_min_node_count"] == 3
    assert not [one.address for one in plan.resources if unkeyed(one)]
    assert not [one.address for one in plan.all("google_compute_firewall") if opened(one)]
    for chart, output in (("thalweg-edge", "edge_values"), ("fastapi-app", "app_values")):
        (tmp_path / chart).write_text(plan.outputs[output]["value"])
        place = INFRA / "helm" / chart
        given = ["-f", place / "values-gcp.yaml", "-f", tmp_path / chart, "--set", "image.tag=0123abc", "--lint"]
        done = run(find_kit() / "render-chart", place, *given)
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"{folder.parent.name}.iam.gserviceaccount.com" in done.stdout
    counted("resources", len(plan.resources))


# --- names ---------------------------------------------------------------------------------------------------------------


def values(chart: str, file: str) -> dict[str, Any]:
    return yaml.safe_load((INFRA / "helm" / chart / file).read_text())


@pytest.mark.slow
def test_charts_find_what_terraform_makes() -> None:
    """secrets, accounts and addresses have the names that the charts ask for"""
    plan = google()
    secrets = {one.values["secret_id"] for one in plan if one.type == "google_secret_manager_secret"}
    accounts = {one.values["account_id"] for one in plan if one.type == "google_service_account"}
    for chart in ("fastapi-app", "thalweg-edge"):
        asked = {key["name"] for key in values(chart, "values.yaml")["externalSecret"]["keys"].values()}
        assert asked <= secrets, f"{chart} asks for {asked - secrets}"
        account = values(chart, "values-gcp.yaml")["serviceAccount"]["annotations"]["iam.gke.io/gcp-service-account"]
        assert account.partition("@")[0] in accounts
    addresses = {one.values["name"] for one in plan if one.type == "google_compute_address"}
    assert {"thalweg-edge", "fastapi-app"} <= addresses
