"""What an environment has once over all clouds: DNS, certificates, alarms from outside, organisation rules."""

from __future__ import annotations

import collections
import json
import re

import pytest
from terraform import TERRAFORM, Plan, planned

HERE = [TERRAFORM / "environments" / environment / "global" for environment in ("development", "staging", "production")]


@pytest.fixture(params=HERE, ids=lambda folder: folder.parent.name)
def plan(request) -> Plan:
    return planned(request.param)


def addresses(folder) -> list[str]:
    """The edges' addresses in an environment's values."""
    text = (folder / "terraform.tfvars").read_text()
    return re.findall(r'"(\d+\.\d+\.\d+\.\d+)"', text[text.index("edges = {") : text.index("clusters = {")])


def test_global_environments_are_one_description(counted) -> None:
    """the environments' global folders differ in values and in their state, and in nothing else"""
    for file in sorted(HERE[0].glob("*.tf")):
        if file.name != "backend.tf":
            assert len({(folder / file.name).read_text() for folder in HERE}) == 1, f"{file.name} differs between environments"
    backends = [(folder / "backend.tf").read_text() for folder in HERE]
    assert len(set(backends)) == len(HERE) and all("use_lockfile = true" in text for text in backends)
    counted("environments", len(HERE))


def test_no_two_edges_share_an_address(counted) -> None:
    """no address belongs to edges of two places or environments"""
    found = collections.Counter(address for folder in HERE for address in addresses(folder))
    assert found and max(found.values()) == 1, found.most_common(1)
    counted("addresses", len(found))


@pytest.mark.slow
@pytest.mark.parametrize("folder", HERE, ids=lambda folder: folder.parent.name)
def test_names_lead_to_edges_only(folder, counted) -> None:
    """DNS: every record leads to one address of an edge, follows its health, and goes soon; each address is named"""
    plan = planned(folder)
    records = [record.values for record in plan.all("aws_route53_record") if record.values["type"] in ("A", "AAAA", "CNAME")]
    assert sorted(record["records"][0] for record in records) == sorted(addresses(folder))
    assert all(
        record["ttl"] <= 300 and len(record["records"]) == 1 and record["multivalue_answer_routing_policy"]
        for record in records
    )
    edges = [record for record in plan.all("aws_route53_record") if record.values["type"] == "A"]
    assert all(record.has("health_check_id") for record in edges)
    checks = [check.values for check in plan.all("aws_route53_health_check")]
    assert sorted(check["ip_address"] for check in checks) == sorted(addresses(folder))
    assert all((check["type"], check["port"], check["enable_sni"]) == ("HTTPS", 443, True) for check in checks)
    counted("records", len(records))


@pytest.mark.slow
def test_one_authority_issues_and_the_zone_is_signed(plan) -> None:
    """DNS: CAA names the authorities and refuses wildcards; DNSSEC signs; queries are logged under a key"""
    (caa,) = [record.values for record in plan.all("aws_route53_record") if record.values["type"] == "CAA"]
    assert '0 issue "letsencrypt.org"' in caa["records"] and '0 issuewild ";"' in caa["records"]
    assert any(record.startswith('0 iodef "mailto:') for record in caa["records"])
    (signing,) = plan.all("aws_route53_hosted_zone_dnssec")
    assert signing.values["signing_status"] == "SIGNING"
    (log,) = plan.all("aws_cloudwatch_log_group")
    assert log.has("kms_key_id") and plan.all("aws_route53_query_log")


@pytest.mark.slow
def test_each_cluster_has_a_role_of_its_own(plan, counted) -> None:
    """certificates: each cluster has an issuer, a bounded role and a policy of its own, for AWS alone"""
    policies = plan.all("aws_iam_role_policy")
    # The zone's id is told by an apply, so the text of the policies is read by the module's own tests.
    assert len(policies) == 5
    assert all(role.has("permissions_boundary") for role in plan.all("aws_iam_role"))
    issuers = [provider.values["url"] for provider in plan.all("aws_iam_openid_connect_provider")]
    assert len(set(issuers)) == 5 and all(url.startswith("https://") for url in issuers)
    assert all(
        provider.values["client_id_list"] == ["sts.amazonaws.com"] for provider in plan.all("aws_iam_openid_connect_provider")
    )
    counted("clusters", len(issuers))


@pytest.mark.slow
def test_missing_data_fires_alarms(plan, counted) -> None:
    """monitoring: each name and each address has an alarm with a receiver, and missing data fires it"""
    alarms = plan.all("aws_cloudwatch_metric_alarm")
    assert len(alarms) == len(plan.all("aws_route53_health_check"))
    assert all(alarm.values["treat_missing_data"] == "breaching" and alarm.has("alarm_actions") for alarm in alarms)
    policies = plan.all("google_monitoring_alert_policy")
    assert len(policies) == len(plan.all("google_monitoring_uptime_check_config")) + 1
    assert all(policy.has("notification_channels") for policy in policies)
    for check in plan.all("google_monitoring_uptime_check_config"):
        (http,) = check.values["http_check"]
        assert http["use_ssl"] and http["validate_ssl"] and check.values["content_matchers"][0]["content"]
    counted("alarms", len(alarms) + len(policies))


@pytest.mark.slow
def test_rules_bind_every_principal() -> None:
    """security: in production all three clouds refuse long-lived keys, and no rule allows anything"""
    plan = planned(HERE[-1])
    (scp,) = plan.all("aws_organizations_policy")
    statements = json.loads(scp.values["content"])["Statement"]
    assert all(statement["Effect"] == "Deny" for statement in statements)
    assert any("iam:CreateAccessKey" in statement.get("Action", []) for statement in statements)
    enforced = {policy.values["name"].rpartition("/")[2] for policy in plan.all("google_org_policy_policy")}
    assert {"iam.disableServiceAccountKeyCreation", "storage.publicAccessPrevention"} <= enforced
    rules = [json.loads(rule.values["policy_rule"]) for rule in plan.all("azurerm_policy_definition")]
    assert rules and all(rule["then"]["effect"] == "deny" for rule in rules)
    assert len(plan.all("azurerm_subscription_policy_assignment")) == len(rules)
