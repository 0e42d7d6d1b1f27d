"""What the AWS side of infra/terraform means: ways in and out, keys, roles, rights, buckets, the rotation."""

from __future__ import annotations

import importlib.util
import json
import re
from typing import Any

import k8s
import parliament
import pytest
import yaml
from cloudsplaining.scan.policy_document import PolicyDocument
from terraform import (
    TERRAFORM,
    Plan,
    Resource,
    applied,
    blocks,
    environments,
    examples,
    first,
    hcl,
    name,
    planned,
)

# Arguments that name a customer key. Where a type has one, it must be set.
KEYS = {
    "kms_key",
    "kms_key_arn",
    "kms_key_id",
    "kms_master_key_id",
    "master_user_secret_kms_key_id",
    "performance_insights_kms_key_id",
}
# Rights that may be given on everything, because AWS knows no resource for them.
READS = re.compile(
    r"(acm|ec2|elasticloadbalancing|eks|ecr|logs):(Describe|List)\w*\*?$"
    r"|ec2:Get\w+$|ecr:GetAuthorizationToken$|iam:ListInstanceProfiles$|pricing:GetProducts$|xray:Put\w+$"
)
# Permissions boundaries, and the policy of the role that applies: the tests of bootstrap/aws judge them.
BOUNDARIES = ("aws_iam_policy.boundary", "aws_iam_policy.provisioner", "aws_iam_policy.provisioner_boundary")
AWS_EXAMPLES = tuple(folder for folder in examples() if re.match(r"(modules/(aws|edge/aws)|bootstrap/aws)/", name(folder)))
APPLIED = [folder for folder in AWS_EXAMPLES if name(folder).split("/")[2] not in ("region", "account")]


def every() -> Plan:
    return planned(AWS_EXAMPLES)


@pytest.mark.slow
def test_private_subnets_have_no_way_in(counted) -> None:
    """no private or data subnet has a route to an internet gateway, the private ones leave through NAT"""
    plan = planned(TERRAFORM / "modules/aws/network/examples/basic")
    open_tables = {
        table
        for route in plan.all("aws_route")
        if any("aws_internet_gateway" in reference for reference in route.references("gateway_id"))
        for table in route.references("route_table_id")
    }
    assert open_tables, "no route leads to the internet at all"
    wrong, seen = [], 0
    for link in plan.all("aws_route_table_association"):
        subnet = "public" if "association.public" in link.address else "inside"
        seen += 1
        if (subnet == "inside") == bool(open_tables & set(link.references("route_table_id"))):
            wrong.append(link.address)
    nat = [route for route in plan.all("aws_route") if route.references("nat_gateway_id")]
    assert seen == 9 and len(nat) == 3 and not wrong, wrong
    assert not [subnet.address for subnet in plan.all("aws_subnet") if subnet.values.get("map_public_ip_on_launch")]
    counted("subnets", seen)


def open_to_everyone(resource: Resource) -> bool:
    """Whether a rule lets in everyone."""
    return bool({"0.0.0.0/0", "::/0"} & {resource.values.get("cidr_ipv4"), resource.values.get("cidr_ipv6")})


@pytest.mark.slow
def test_everyone_reaches_443_of_the_edges_only(counted) -> None:
    """everyone is let in to port 443 of the edges' balancer, and to nothing else"""
    rules = every().all("aws_vpc_security_group_ingress_rule")
    opened = [rule for rule in rules if open_to_everyone(rule)]
    assert opened and all("modules_edge_aws" in rule.address or ".module.edge." in rule.address for rule in opened), opened
    assert {(rule.values["ip_protocol"], rule.values["from_port"], rule.values["to_port"]) for rule in opened} == {
        ("tcp", 443, 443)
    }
    # Rules are resources of their own: a group with rules inside would not be seen above.
    inline = [
        group.address
        for group in every().all("aws_security_group")
        if group.values.get("ingress") or group.values.get("egress")
    ]
    assert not inline and not every().all("aws_security_group_rule"), inline
    counted("rules", len(rules))


def unkeyed(resource: Resource) -> list[str]:
    able = [key for key in KEYS if key in resource.values or key in resource.unknown]
    return [f"{resource.address}: {key}" for key in able if not resource.has(key)]


@pytest.mark.slow
def test_everything_stored_has_a_customer_key(counted) -> None:
    """every resource that accepts a customer key has one"""
    keyed = [resource for resource in every().resources if KEYS & ({*resource.values} | {*resource.unknown})]
    wrong = [found for resource in keyed for found in unkeyed(resource)]
    assert not wrong, "\n".join(wrong)
    bad = Resource("x", "aws_db_instance", "aws", {"kms_key_id": None}, {}, {})
    assert unkeyed(bad) == ["x: kms_key_id"], "the check notices nothing"
    counted("resources", len(keyed))


@pytest.mark.slow
@pytest.mark.parametrize("block", ["encryption_config", "encrypt_at_rest", "encryption_configuration"])
def test_keys_in_blocks(block, counted) -> None:
    """clusters, search domains and image repositories name a customer key in their blocks"""
    able = [one for one in every().resources if one.values.get(block)]
    wrong = [one.address for one in able if not any("key" in found for found in one.references(block))]
    assert able and not wrong, wrong
    counted("resources", len(able))


@pytest.mark.slow
def test_disks_of_nodes_have_a_customer_key() -> None:
    """every disk of a node is encrypted under a key that is made beside it, and pods cannot reach the node's credentials"""
    for template in every().all("aws_launch_template"):
        disks = zip(template.values["block_device_mappings"], template.unknown["block_device_mappings"])
        for known, later in disks:
            assert known["ebs"][0]["encrypted"] == "true" and later["ebs"][0]["kms_key_id"], template.address
        assert template.values["metadata_options"][0]["http_tokens"] == "required"
    assert every().all("aws_launch_template")


@pytest.mark.slow
def test_buckets_are_closed(counted) -> None:
    """every bucket is versioned, encrypted under a customer key, closed to the public and to clear text"""
    plan = every()
    buckets = plan.all("aws_s3_bucket")
    for kind in (
        "aws_s3_bucket_versioning",
        "aws_s3_bucket_public_access_block",
        "aws_s3_bucket_policy",
        "aws_s3_bucket_server_side_encryption_configuration",
        "aws_s3_bucket_lifecycle_configuration",
    ):
        assert len(plan.all(kind)) == len(buckets) > 0, kind
    for policy in plan.all("aws_s3_bucket_policy"):
        told = json.loads(policy.values["policy"])["Statement"]
        assert any(
            one["Effect"] == "Deny" and "aws:SecureTransport" in json.dumps(one.get("Condition")) for one in told
        ), policy.address
    for setting in plan.all("aws_s3_bucket_public_access_block"):
        assert all(
            setting.values[key]
            for key in ("block_public_acls", "block_public_policy", "ignore_public_acls", "restrict_public_buckets")
        )
    counted("buckets", len(buckets))


@pytest.mark.slow
def test_every_role_has_a_boundary(counted) -> None:
    """every role has a permissions boundary and trusts services or OIDC issuers only"""
    roles = every().all("aws_iam_role")
    wrong = [role.address for role in roles if not role.has("permissions_boundary")]
    known = [json.loads(role.values["assume_role_policy"]) for role in roles if role.values.get("assume_role_policy")]
    assert roles and known and not wrong, wrong
    for statement in (one for policy in known for one in policy["Statement"]):
        assert set(statement["Principal"]) <= {"Service", "Federated"}, statement
    counted("roles", len(roles))


def test_backends_are_apart(counted) -> None:
    """every AWS environment keeps its state under its own key, locked and encrypted, and refuses other accounts"""
    folders = [folder for folder in environments() if folder.name.startswith("aws-")]
    for folder in folders:
        (backend,) = hcl(folder / "versions.tf")["terraform"][0]["backend"]
        settings = backend["s3"]
        assert first(settings, "key") == f"{folder.parent.name}/{folder.name}.tfstate"
        assert first(settings, "use_lockfile") and first(settings, "encrypt")
        assert "allowed_account_ids" in (folder / "main.tf").read_text()
    assert len(folders) == 12
    counted("environments", len(folders))


def test_places_use_their_addresses() -> None:
    """every AWS place takes its own entry of addresses.json"""
    for folder in (folder for folder in environments() if folder.name.startswith("aws-") and folder.name != "aws-account"):
        call = blocks(folder, "module")["region"]
        region = folder.name.removeprefix("aws-")
        assert f'["{folder.parent.name}"]["{folder.name}"]' in (folder / "main.tf").read_text()
        assert first(call, "name") == f"thalweg-{folder.parent.name}-{region}"
        assert all(zone.startswith(region) for zone in first(call, "zones"))


# --- after an apply, with mocked providers ---------------------------------------------------------------------------


def statements(values: dict[str, Any]) -> list[dict[str, Any]]:
    text = values.get("policy") or "{}"
    return json.loads(text).get("Statement", []) if text.startswith("{") else []


def too_wide(statement: dict[str, Any]) -> bool:
    """Whether a statement allows all of a service, or a change of everything."""
    actions = statement.get("Action", [])
    actions = [actions] if isinstance(actions, str) else actions
    resources = statement.get("Resource", [])
    everything = "*" in ([resources] if isinstance(resources, str) else resources)
    if statement["Effect"] != "Allow":
        return False
    return (
        "*" in actions
        or any(action.endswith(":*") for action in actions)
        or (everything and not all(map(READS.match, actions)))
    )


@pytest.mark.slow
@pytest.mark.parametrize("folder", APPLIED, ids=name)
def test_rights_are_narrow(folder, counted) -> None:
    """after an apply: no role is given all of a service, or a change of everything"""
    providers = [provider for provider in ("aws", "archive") if provider == "aws" or "secrets" in name(folder)]
    seen = 0
    for address, kind, values in applied(folder, *providers).resources:
        if kind in ("aws_iam_role_policy", "aws_iam_policy") and not address.endswith(BOUNDARIES):
            for statement in statements(values):
                seen += 1
                assert not too_wide(statement), f"{address}: {statement}"
        if kind == "aws_iam_role":
            assert ":policy/" in values["permissions_boundary"] or address.startswith("module.bootstrap"), address
    counted("statements", seen)


# What parliament says that is judged elsewhere or harmless: a star is test_rights_are_narrow's; a list of actions of which some read
# other kinds of resource; an ARN compared as text.
JUDGED_ELSEWHERE = {"RESOURCE_STAR", "RESOURCE_MISMATCH", "MISMATCHED_TYPE_BUT_USABLE"}


def misspelt(policy: str) -> list[str]:
    """What parliament finds in a policy: actions, conditions and resources that AWS does not have."""
    findings = parliament.analyze_policy_string(policy).findings
    return [f"{one.issue}: {one.detail}" for one in findings if one.issue not in JUDGED_ELSEWHERE]


def test_a_misspelt_action_is_found() -> None:
    """parliament names an action that AWS does not have, and lets one pass that it has"""
    policy = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:%s","Resource":"arn:aws:s3:::b/*"}]}'
    assert misspelt(policy % "GetObjekt") and not misspelt(policy % "GetObject")


@pytest.mark.slow
@pytest.mark.parametrize("folder", APPLIED, ids=name)
def test_rights_exist(folder, counted) -> None:
    """after an apply: every action, resource and condition of a role's policies is one that AWS has, by parliament"""
    providers = [provider for provider in ("aws", "archive") if provider == "aws" or "secrets" in name(folder)]
    wrong, seen = [], 0
    for address, kind, values in applied(folder, *providers).resources:
        if kind in ("aws_iam_role_policy", "aws_iam_policy") and (values.get("policy") or "").startswith("{"):
            seen += 1
            wrong += [f"{address}: {said}" for said in misspelt(values["policy"])]
    assert not wrong, "\n".join(wrong)
    counted("policies", seen)


# What cloudsplaining reports and stays, with the reason.
EXPOSED = {"ecr:GetAuthorizationToken": "the token of a registry's login, which AWS gives on no single repository"}


def risks(policy: str) -> list[str]:
    """What cloudsplaining finds in a policy: a way to more rights, data that leaves, rights that are given away, on everything."""
    document = PolicyDocument(json.loads(policy))
    return [
        *(f"privilege escalation: {found['type']}" for found in document.allows_privilege_escalation),
        *(f"data leaves by {action} on everything" for action in document.allows_data_exfiltration_actions),
        *(f"{action} on everything" for action in document.permissions_management_without_constraints),
        *(f"credentials by {action}" for action in document.credentials_exposure if action not in EXPOSED),
        *(f"every action of {service}" for service in document.service_wildcard),
    ]


def test_a_risky_right_is_found() -> None:
    """cloudsplaining names a way to more rights, data on everything and a service as a whole, and lets a narrow right pass"""
    policy = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["%s"],"Resource":"%s"}]}'
    for action in ("iam:CreateAccessKey", "s3:GetObject", "s3:PutBucketPolicy", "s3:*"):
        assert risks(policy % (action, "*")), action
    assert not risks(policy % ("s3:GetObject", "arn:aws:s3:::b/*"))


@pytest.mark.slow
@pytest.mark.parametrize("folder", APPLIED, ids=name)
def test_rights_are_no_way_to_more(folder, counted) -> None:
    """after an apply: no role's policy is a way to more rights, or to all data, by cloudsplaining; boundaries give none by themselves"""
    providers = [provider for provider in ("aws", "archive") if provider == "aws" or "secrets" in name(folder)]
    wrong, seen = [], 0
    for address, kind, values in applied(folder, *providers).resources:
        if kind in ("aws_iam_role_policy", "aws_iam_policy") and (values.get("policy") or "").startswith("{"):
            if address.endswith(BOUNDARIES):
                continue
            seen += 1
            wrong += [f"{address}: {said}" for said in risks(values["policy"])]
    assert not wrong, "\n".join(wrong)
    counted("policies", seen)


@pytest.mark.slow
def test_charts_take_what_a_region_gives(counted) -> None:
    """after an apply: both charts render with the values that a region gives them, and say what they say"""
    given = applied(TERRAFORM / "modules/aws/region/examples/basic", "aws", "archive").outputs
    groups = {}
    for chart, output in (("thalweg-edge", "edge_values"), ("fastapi-app", "app_values")):
        values = yaml.safe_load(given[output])
        groups[chart] = k8s.render(chart, k8s.merge(k8s.values_of(chart, "aws", "prod"), values))
        said = "".join(groups[chart].values()) if isinstance(groups[chart], dict) else str(groups[chart])
        for part in ("service", "ingress"):
            annotations = values.get(part, {}).get("annotations", {})
            assert all(key in said and str(text) in said for key, text in annotations.items()), chart
        assert values["serviceAccount"]["annotations"]["eks.amazonaws.com/role-arn"] in said
    counted("manifests", k8s.validate(groups))


def test_wide_rights_are_noticed() -> None:
    """the check of rights notices what is too wide"""
    assert too_wide({"Effect": "Allow", "Action": "s3:*", "Resource": "arn:x"})
    assert too_wide({"Effect": "Allow", "Action": ["ec2:RunInstances"], "Resource": "*"})
    assert not too_wide({"Effect": "Allow", "Action": "ec2:DescribeSubnets", "Resource": "*"})
    assert not too_wide({"Effect": "Deny", "Action": "*", "Resource": "*"})


# --- the rotation ----------------------------------------------------------------------------------------------------


class Vault:
    """Secrets Manager as the rotation sees it: versions with their stages."""

    class exceptions:
        class ResourceNotFoundException(Exception):
            pass

    def __init__(self, enabled: bool = True, current: str | None = "o" * 40) -> None:
        self.values = {"old": current} if current else {}
        self.stages = {"old": ["AWSCURRENT"], "new": ["AWSPENDING"]} if current else {"new": ["AWSPENDING"]}
        self.enabled = enabled

    def describe_secret(self, SecretId):
        return {"RotationEnabled": self.enabled, "VersionIdsToStages": self.stages}

    def get_secret_value(self, SecretId, VersionStage, VersionId=None):
        version = VersionId or next((one for one, stages in self.stages.items() if VersionStage in stages), None)
        if version not in self.values:
            raise self.exceptions.ResourceNotFoundException
        return {"SecretString": self.values[version]}

    def put_secret_value(self, SecretId, ClientRequestToken, SecretString, VersionStages):
        self.values[ClientRequestToken] = SecretString

    def update_secret_version_stage(self, SecretId, VersionStage, MoveToVersionId, RemoveFromVersionId=None):
        if RemoveFromVersionId:
            self.stages[RemoveFromVersionId].remove(VersionStage)
        self.stages[MoveToVersionId].append(VersionStage)


class Caches:
    """ElastiCache as the rotation sees it: a user that is busy for a while after a change."""

    def __init__(self, busy: int = 2) -> None:
        self.passwords, self.busy = [], busy

    def modify_user(self, UserId, Passwords):
        assert UserId == "app-id" and all(16 <= len(password) <= 128 for password in Passwords)
        self.passwords = Passwords

    def describe_users(self, UserId):
        self.busy -= 1
        return {"Users": [{"Status": "modifying" if self.busy >= 0 else "active"}]}


STEPS = ("createSecret", "setSecret", "testSecret", "finishSecret")


def rotation(cache: bool = False):
    file = TERRAFORM / "modules/aws/secrets/rotate/rotate.py"
    spec = importlib.util.spec_from_file_location("rotate", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if cache:
        module.CACHES = {"arn": {"user_id": "app-id", "user_name": "app", "endpoint": "cache.example"}}
    return module


def step(module, vault: Vault, named: str, token: str = "new", caches: Caches | None = None) -> None:
    event = {"SecretId": "arn", "ClientRequestToken": token, "Step": named}
    module.rotate(vault, caches, event, pause=lambda seconds: None)


def test_rotation_replaces_the_token() -> None:
    """a rotation, each step twice: the new token is current, long, and the first that was made"""
    module, vault = rotation(), Vault()
    for named in STEPS:
        step(module, vault, named)
        made = vault.values["new"]
        step(module, vault, named)
        assert vault.values["new"] == made
    assert len(made) >= 64 and vault.stages == {"old": [], "new": ["AWSPENDING", "AWSCURRENT"]}


@pytest.mark.parametrize("current", [None, f"rediss://app:{'o' * 64}@cache.example:6379/0"], ids=["first", "later"])
def test_rotation_gives_a_cache_both_passwords(current) -> None:
    """a cache's user gets the new password beside the old one, and the secret is the cache's address with the new one"""
    module, vault, caches = rotation(cache=True), Vault(current=current), Caches()
    for named in STEPS:
        step(module, vault, named, caches=caches)
    made = re.fullmatch(r"rediss://app:([\w-]{64})@cache\.example:6379/0", vault.values["new"])
    assert caches.passwords == [made[1]] + (["o" * 64] if current else [])
    assert "AWSCURRENT" in vault.stages["new"]


def test_rotation_waits_for_a_cache_but_not_for_ever() -> None:
    """a user that stays busy fails the step, and the old password stays current"""
    module, vault = rotation(cache=True), Vault(current=f"rediss://app:{'o' * 64}@cache.example:6379/0")
    step(module, vault, "createSecret")
    with pytest.raises(TimeoutError):
        step(module, vault, "setSecret", caches=Caches(busy=10**6))
    assert "AWSCURRENT" in vault.stages["old"]


def test_rotation_keeps_the_old_value_when_something_is_wrong() -> None:
    """a rotation that is not enabled, of an unknown version or to a short value changes nothing"""
    short, address = Vault(), Vault()
    short.values["new"], address.values["new"] = "short", "rediss://app@cache.example:6379/0"
    cases = (
        (Vault(False), "createSecret", "new", False),
        (Vault(), "createSecret", "unknown", False),
        (short, "testSecret", "new", False),
        (address, "testSecret", "new", True),
    )
    for vault, named, token, cache in cases:
        with pytest.raises(ValueError):
            step(rotation(cache), vault, named, token)
        assert "AWSCURRENT" in vault.stages["old"]
