"""What Terraform makes in Azure, judged by its meaning: open ports, encryption keys, rights and their limits."""

from __future__ import annotations

import ipaddress
import json
import re

import pytest
import yaml
from conftest import INFRA, find_kit, find_tool, run
from terraform import ADDRESSES, TERRAFORM, Plan, Resource, blocks, copied, first, name, offline, planned, terraform, walk

PLACE = "azure-southeastasia"
HERE = [TERRAFORM / "environments" / environment / PLACE for environment in ("development", "staging", "production")]
ANYONE = {"*", "Internet", "Any", "0.0.0.0/0", "::/0"}
# What keeps data, and the argument that names the customer's key.
STORES = {
    "azurerm_container_registry": "encryption",
    "azurerm_disk_encryption_set": "key_vault_key_id",
    "azurerm_kubernetes_cluster": "key_management_service",
    "azurerm_managed_redis": "customer_managed_key",
    "azurerm_postgresql_flexible_server": "customer_managed_key",
    "azurerm_storage_account": "customer_managed_key",
}
# Types that keep data under Azure's own key, or that this check does not know yet.
SUSPECT = re.compile(
    r"azurerm_(managed_disk|log_analytics_workspace|redis_cache|cosmosdb_|mssql_|mysql_|eventhub|servicebus|search_|linux_virtual|recovery_)"
)


@pytest.fixture(params=HERE, ids=lambda folder: folder.parent.name)
def plan(request) -> Plan:
    return planned(request.param)


def nested(resource: Resource, block: str) -> dict:
    """The one block of that name in a resource."""
    found = resource.values.get(block) or [{}]
    return found[0]


# --- text ----------------------------------------------------------------------------------------------------------


def test_environments_are_one_description(counted) -> None:
    """the Azure environments differ in terraform.tfvars and in the name of their state, and in nothing else"""
    for file in sorted(HERE[0].glob("*.tf")):
        texts = {(folder / file.name).read_text().replace(f'"{folder.parent.name}"', '"ENVIRONMENT"') for folder in HERE}
        assert len(texts) == 1, f"{file.name} differs between environments"
    for folder in HERE:
        assert f'container_name       = "{folder.parent.name}"' in (folder / "backend.tf").read_text()
        assert re.search(rf'^environment += "{folder.parent.name}"$', (folder / "terraform.tfvars").read_text(), re.M)
    counted("environments", len(HERE))


def assigned() -> list[tuple[str, str, str]]:
    """Every role that a module of Azure assigns by name: module, role, kind of principal."""
    found = []
    for folder in sorted((TERRAFORM / "modules" / "azure").iterdir()):
        for file in sorted(folder.glob("*.tf")):
            text = file.read_text()
            for block in re.findall(r'resource "azurerm_role_assignment" .*?\n}\n', text, re.S):
                role, kind = (re.search(rf"{key}\s*= (.*)", block)[1] for key in ("role_definition_name", "principal_type"))
                named = [role.strip('"')] if role.startswith('"') else re.findall(r'\brole = "([^"]+)"', text)
                found += [(folder.name, one, kind.strip('"')) for one in named]
    region = (TERRAFORM / "modules" / "azure" / "region" / "main.tf").read_text()
    return found + [("region", role, "ServicePrincipal") for role in re.findall(r'\brole = "([^"]+)"', region)]


def test_the_provisioner_may_assign_what_modules_assign(counted) -> None:
    """terraform-provisioner may hand on each role that the modules assign, to workloads only, and no role more"""
    text = (TERRAFORM / "bootstrap" / "azure" / "boundary.tf").read_text()
    allowed = set(re.findall(r'"([^"]+)"', re.search(r"assignable = toset\(\[(.*?)\]\)", text, re.S)[1]))
    used = {role for _, role, _ in assigned()}
    assert used and used == allowed, f"missing: {used - allowed}, not needed: {allowed - used}"
    people = [one for one in assigned() if one[2] != "ServicePrincipal"]
    assert not people, people
    counted("roles", len(used))


def test_identities_trust_no_wildcard() -> None:
    """every federated credential names one issuer, one audience and one subject"""
    seen = 0
    for folder in [TERRAFORM / "bootstrap" / "azure", TERRAFORM / "modules" / "azure" / "identity"]:
        for file in folder.glob("*.tf"):
            for block in re.findall(r'resource "azurerm_federated_identity_credential" .*?\n}\n', file.read_text(), re.S):
                seen += 1
                assert "*" not in block and 'audience                  = ["api://AzureADTokenExchange"]' in block
    assert seen == 2
    text = "".join(file.read_text() for file in TERRAFORM.glob("**/azure/**/*.tf"))
    assert not re.search(r"azuread_application_password|azuread_service_principal_password|client_secret\s*=", text)


# --- plans ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_only_443_is_open_to_the_internet(plan, counted) -> None:
    """Azure: of the Internet, port 443 of the edges is reached and nothing else; each subnet ends with a denial"""
    rules = plan.all("azurerm_network_security_rule")
    inward = [rule for rule in rules if rule.values["direction"] == "Inbound" and rule.values["access"] == "Allow"]
    sources = {
        rule.address: {rule.values.get("source_address_prefix"), *(rule.values.get("source_address_prefixes") or [])}
        for rule in inward
    }
    open_rules = [rule for rule in inward if sources[rule.address] & ANYONE]
    assert [(rule.values["name"], rule.values["destination_port_range"]) for rule in open_rules] == [
        ("clients-to-edges", "443")
    ]
    assert all(rule.values.get("destination_port_ranges") is None for rule in open_rules)
    denials = [rule for rule in rules if rule.values["access"] == "Deny" and rule.values["priority"] == 4096]
    assert len(denials) == len(plan.all("azurerm_subnet"))
    assert len(plan.all("azurerm_subnet_network_security_group_association")) == len(plan.all("azurerm_subnet"))
    counted("rules", len(rules))


@pytest.mark.slow
def test_egress_has_fixed_addresses(plan) -> None:
    """Azure: no subnet has a way out of its own; nodes leave through a NAT gateway that spans zones"""
    subnets = plan.all("azurerm_subnet")
    assert subnets and all(subnet.values["default_outbound_access_enabled"] is False for subnet in subnets)
    (gateway,) = plan.all("azurerm_nat_gateway")
    # The second generation spans all zones and refuses a list of them; the first lives in one.
    assert gateway.values["sku_name"] == "StandardV2" and not gateway.values.get("zones")
    assert all(prefix.values["sku"] == "StandardV2" for prefix in plan.all("azurerm_public_ip_prefix"))
    (cluster,) = plan.all("azurerm_kubernetes_cluster")
    assert nested(cluster, "network_profile")["outbound_type"] == "userAssignedNATGateway"
    assert not plan.all("azurerm_route", "azurerm_route_table"), "no route leads past the gateway"


@pytest.mark.slow
@pytest.mark.parametrize("folder", HERE, ids=lambda folder: folder.parent.name)
def test_addresses_are_those_of_the_plan(folder, counted) -> None:
    """Azure: network, subnets, pods and services lie in the ranges of addresses.json"""
    ours, found = ADDRESSES[folder.parent.name][PLACE], planned(folder)
    (network,), (cluster,) = found.all("azurerm_virtual_network"), found.all("azurerm_kubernetes_cluster")
    profile = nested(cluster, "network_profile")
    assert network.values["address_space"] == [ours["network"]]
    assert (profile["pod_cidr"], profile["service_cidr"]) == (ours["pods"], ours["services"])
    subnets = [ipaddress.ip_network(subnet.values["address_prefixes"][0]) for subnet in found.all("azurerm_subnet")]
    assert all(subnet.subnet_of(ipaddress.ip_network(ours["network"])) for subnet in subnets)
    assert not any(a.overlaps(b) for index, a in enumerate(subnets) for b in subnets[index + 1 :])
    counted("subnets", len(subnets))


@pytest.mark.slow
def test_every_store_has_a_customers_key(plan, counted) -> None:
    """Azure: whatever keeps data does so under a key of the customer's vault"""
    stores = plan.all(*STORES)
    wrong = [store.address for store in stores if not store.has(STORES[store.type])]
    wrong += [one.address for one in plan.resources if SUSPECT.match(one.type)]
    assert {store.type for store in stores} == set(STORES) and not wrong, wrong
    assert all(vault.values["purge_protection_enabled"] for vault in plan.all("azurerm_key_vault"))
    pools = [nested(cluster, "default_node_pool") for cluster in plan.all("azurerm_kubernetes_cluster")]
    pools += [pool.values for pool in plan.all("azurerm_kubernetes_cluster_node_pool")]
    assert pools and all(pool["host_encryption_enabled"] and pool["os_disk_type"] == "Ephemeral" for pool in pools)
    counted("stores", len(stores))


@pytest.mark.slow
def test_entra_is_the_only_login(plan) -> None:
    """Azure: no local account, password, access key or anonymous reader anywhere"""
    (cluster,), (registry,) = plan.all("azurerm_kubernetes_cluster"), plan.all("azurerm_container_registry")
    (database,), (cache,) = plan.all("azurerm_postgresql_flexible_server"), plan.all("azurerm_managed_redis")
    assert cluster.values["local_account_disabled"] and cluster.values["private_cluster_enabled"]
    assert not registry.values["admin_enabled"] and not registry.values["anonymous_pull_enabled"]
    assert nested(database, "authentication")["password_auth_enabled"] is False
    assert database.values["public_network_access_enabled"] is False
    assert nested(cache, "default_database")["access_keys_authentication_enabled"] is False
    assert cache.values["public_network_access"] == "Disabled"
    assert registry.values["public_network_access_enabled"] is False
    assert all(vault.values["public_network_access_enabled"] is False for vault in plan.all("azurerm_key_vault"))
    for closed in plan.all("azurerm_key_vault", "azurerm_storage_account"):
        rules = closed.values.get("network_acls") or closed.values["network_rules"]
        assert rules[0]["default_action"] == "Deny", closed.address


@pytest.mark.slow
def test_production_is_locked_and_copied() -> None:
    """Azure: backups have a standby and copies in the paired region everywhere; production has locks, a month of backups, a copy of images"""
    development, staging, production = (planned(folder) for folder in HERE)
    for found, copied_too in ((development, False), (staging, True), (production, True)):
        (database,), (registry,) = found.all("azurerm_postgresql_flexible_server"), found.all("azurerm_container_registry")
        assert database.values["geo_redundant_backup_enabled"] is True
        assert bool(registry.values.get("georeplications")) is copied_too
        assert nested(database, "high_availability")["mode"] == "ZoneRedundant"
    (database,) = production.all("azurerm_postgresql_flexible_server")
    assert database.values["backup_retention_days"] >= 30
    locked = {lock.address.partition(".azurerm")[0] for lock in production.all("azurerm_management_lock")}
    assert locked == {f"module.region.module.{part}" for part in ("aks", "edge", "network", "postgresql")}


# --- values of the charts ----------------------------------------------------------------------------------------------

APPLIED = """# Applies an environment with mocked providers, so that its outputs can be read.
mock_provider "azurerm" {
  mock_data "azurerm_client_config" {
    defaults = { tenant_id = "00000000-0000-0000-0000-00000000000f" }
  }
  mock_resource "azurerm_key_vault" {
    defaults = { vault_uri = "https://thalweg.vault.azure.net/", id = "/subscriptions/s/resourceGroups/g/providers/Microsoft.KeyVault/vaults/v" }
  }
  mock_resource "azurerm_kubernetes_cluster" {
    defaults = { oidc_issuer_url = "https://oidc.example.com/" }
  }
  mock_resource "azurerm_container_registry" {
    defaults = { login_server = "thalweg.azurecr.io" }
  }
}
mock_provider "azapi" {
  mock_resource "azapi_resource_action" {
    defaults = {
      output = { properties = { keyUri = "https://v.vault.azure.net/keys/k", keyUriWithVersion = "https://v.vault.azure.net/keys/k/1" } }
    }
  }
}
run "outputs" {}
"""


def outputs(folder) -> dict:
    """An environment's outputs after an apply with mocked providers."""
    with copied() as copy:
        place = copy / name(folder)
        (place / "backend.tf").unlink()
        (place / "applied.tftest.hcl").write_text(APPLIED)
        terraform(place, "init")
        done = run(find_tool("terraform"), "test", "-verbose", "-json", cwd=place, **offline())
    assert done.returncode == 0, done.stdout
    messages = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    (state,) = [message["test_state"] for message in messages if message["type"] == "test_state"]
    return {key: one["value"] for key, one in state["outputs"].items()}


@pytest.mark.slow
def test_charts_take_the_values_that_terraform_writes(tmp_path) -> None:
    """Azure: the charts render with the values files that Terraform's outputs are"""
    told = outputs(HERE[0])
    for chart, output, service in (("thalweg-edge", "edge_values", True), ("fastapi-app", "app_values", False)):
        values = yaml.safe_load(told[output])
        values["image"]["tag"] = "1"
        (tmp_path / f"{chart}.yaml").write_text(yaml.safe_dump(values))
        folder = INFRA / "helm" / chart
        done = run(
            find_kit() / "render-chart",
            folder,
            "-f",
            folder / "values-azure.yaml",
            "-f",
            folder / "values-prod.yaml",
            "-f",
            tmp_path / f"{chart}.yaml",
        )
        assert done.returncode == 0, done.stderr
        rendered = [one for one in yaml.safe_load_all(done.stdout) if one]
        stores = [one for one in rendered if one["kind"] in ("SecretStore", "ClusterSecretStore")]
        assert any(value == "https://thalweg.vault.azure.net" for store in stores for _, value in walk(store)), "no store"
        assert any(str(value).startswith("thalweg.azurecr.io/") for one in rendered for _, value in walk(one)), "no image"
        if service:
            notes = [one["metadata"].get("annotations", {}) for one in rendered if one["kind"] == "Service"]
            assert any(
                note.get("service.beta.kubernetes.io/azure-pip-name") == "thalweg-development-edge-ipv4" for note in notes
            )


def test_every_refusal_is_a_sentence() -> None:
    """Azure: error messages name the variable that is wrong"""
    wrong, seen = [], 0
    for folder in [*sorted((TERRAFORM / "modules" / "azure").iterdir()), TERRAFORM / "modules" / "edge" / "azure"]:
        for variable, block in blocks(folder, "variable").items():
            for rule in block.get("validation", []):
                seen += 1
                if variable not in str(first(rule, "error_message")) and variable.removesuffix("s") not in str(
                    first(rule, "error_message")
                ):
                    wrong.append(f"{name(folder)}: {variable}: {first(rule, 'error_message')}")
    assert seen > 30 and not wrong, "\n".join(wrong)
