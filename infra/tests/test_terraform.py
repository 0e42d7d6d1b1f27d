"""What holds for all of infra/terraform, whichever cloud: shape, documents, validity, tags, secrets, ways in, addresses."""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
import itertools
import json
import re
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
import yaml
from conftest import ROOT, find_kit, find_tool, run
from terraform import (
    ADDRESSES,
    TERRAFORM,
    Plan,
    Resource,
    blocks,
    checked,
    copied,
    environments,
    examples,
    first,
    folders,
    hcl,
    modules,
    name,
    offline,
    planned,
    terraform,
    together,
    walk,
)

PINNED = {
    "aws": "~> 6.47",
    "google": "~> 6.50",
    "google-beta": "~> 6.50",
    "azurerm": "~> 4.79",
    "azuread": "~> 3.7",
    "azapi": "~> 2.5",
}
PARTS = ("versions.tf", "variables.tf", "main.tf", "outputs.tf", "README.md", "examples/basic/main.tf")
MAX_LINES = 400
# Arguments that would put a secret into plan and state. Their write-only twins end in `_wo`.
SECRET = re.compile(
    r"(^|\.)(\w*password|secret_string|secret_data|auth_token|private_key\w*|client_secret|shared_key)(\[\d+\])?$"
)
# Settings about passwords, not passwords.
NO_SECRET = {"manage_master_user_password", "generate_secret", "exclude_password"}
# Resources whose very purpose is a secret in the state.
IN_STATE = {
    "random_password",
    "tls_private_key",
    "aws_iam_access_key",
    "google_service_account_key",
    "azuread_application_password",
}


def every() -> Plan:
    """One plan of all examples together: made once, and too slow for the fast half."""
    return planned(tuple(examples()))


# --- text ----------------------------------------------------------------------------------------------------------


def test_format(counted) -> None:
    """every file is formatted as terraform formats it"""
    terraform(TERRAFORM, "fmt", "-check", "-recursive", "-diff")
    counted("folders", len(folders()))


def test_modules_are_complete(counted) -> None:
    """every module has versions, variables, outputs, a README, tests and an example"""
    wrong = [f"{name(folder)}: no {part}" for folder in modules() for part in PARTS if not (folder / part).exists()]
    wrong += [f"{name(folder)}: no tests" for folder in modules() if not list(folder.glob("tests/*.tftest.hcl"))]
    assert not wrong, "\n".join(wrong)
    counted("modules", len(modules()))


def test_files_say_what_they_are_for(counted) -> None:
    """every file opens with its purpose and has at most 400 lines"""
    files = [file for kind in ("*.tf", "*.hcl", "*.tfvars") for file in TERRAFORM.rglob(kind) if ".terraform" not in file.parts]
    texts = {file: file.read_text() for file in files}
    wrong = [f"{name(file)}: opens without its purpose" for file, text in texts.items() if not text.startswith("# ")]
    wrong += [f"{name(file)}: {text.count(chr(10))} lines" for file, text in texts.items() if text.count("\n") > MAX_LINES]
    assert files and not wrong, "\n".join(wrong)
    counted("files", len(files))


def test_variables_and_outputs_are_described(counted) -> None:
    """every variable has a type and a description, every output a description"""
    wrong, seen = [], 0
    for folder in modules():
        for variable, block in blocks(folder, "variable").items():
            seen += 1
            wrong += [f"{name(folder)}: {variable} has no {part}" for part in ("type", "description") if not first(block, part)]
        for output, block in blocks(folder, "output").items():
            wrong += [] if first(block, "description") else [f"{name(folder)}: output {output} has no description"]
    assert seen and not wrong, "\n".join(wrong)
    counted("variables", seen)


def test_versions_are_pinned() -> None:
    """terraform 1.11 or newer, providers of the lines that are checked, modules from this repository only"""
    wrong = []
    for folder in [*modules(), *environments()]:
        settings = [block for file in folder.glob("*.tf") for block in hcl(file).get("terraform", [])]
        if [first(block, "required_version") for block in settings if "required_version" in block] != [">= 1.11"]:
            wrong.append(f"{name(folder)}: required_version is not >= 1.11, once")
        for block in settings:
            for wanted in itertools.chain.from_iterable(group.items() for group in block.get("required_providers", [])):
                provider, given = wanted[0], first({"x": wanted[1]}, "x") if isinstance(wanted[1], list) else wanted[1]
                if not provider.startswith("__") and not str(given.get("version", "")).startswith(PINNED.get(provider, "~> ")):
                    wrong.append(f"{name(folder)}: {provider} {given.get('version')}")
    for folder in folders():
        for call, block in blocks(folder, "module").items():
            if not str(first(block, "source")).startswith("../"):
                wrong.append(f"{name(folder)}: module {call} is not from here")
    assert not wrong, "\n".join(wrong)


def test_readmes_are_current() -> None:
    """the modules' READMEs are what their files say"""
    done = run(sys.executable, TERRAFORM / "readme.py", "--check")
    assert done.returncode == 0, done.stderr


def refusals(folder) -> list[str]:
    """What a module's tests expect to fail, once per run."""
    runs = blocks(folder, "run", "tests/*.tftest.hcl").values()
    return [re.sub(r"[${}]", "", str(found)) for block in runs for found in first(block, "expect_failures") or []]


def test_every_validation_has_its_refusal(counted) -> None:
    """for every validation a test gives a wrong value and expects the refusal"""
    wrong, seen = [], 0
    for folder in modules():
        refused = refusals(folder)
        for variable, block in blocks(folder, "variable").items():
            rules = block.get("validation", [])
            seen += len(rules)
            if refused.count(f"var.{variable}") < len(rules):
                wrong.append(
                    f"{name(folder)}: {variable}: {len(rules)} validations, {refused.count(f'var.{variable}')} refusals"
                )
            wrong += [
                f"{name(folder)}: {variable}: no sentence: {first(rule, 'error_message')}"
                for rule in rules
                if len(str(first(rule, "error_message"))) < 20
            ]
    assert seen and not wrong, "\n".join(wrong)
    counted("validations", seen)


def networks(value: Any) -> Iterator[tuple[str, Any]]:
    return ((path, ipaddress.ip_network(text)) for path, text in walk(value))


def test_no_addresses_overlap(counted) -> None:
    """no two networks, pod or service ranges overlap, across clouds and environments"""
    found = list(networks(ADDRESSES))
    wrong = [f"{a} {one} and {b} {two}" for (a, one), (b, two) in itertools.combinations(found, 2) if one.overlaps(two)]
    assert len(found) > 20 and not wrong, "\n".join(wrong)
    assert all(network.is_private or network.subnet_of(ipaddress.ip_network("100.64.0.0/10")) for _, network in found)
    counted("networks", len(found))


# --- validity --------------------------------------------------------------------------------------------------------


# What was valid last: validating everything takes half a minute, and what has not changed is still valid.
VALID = ROOT / ".venv-infra" / "terraform-valid"


def fingerprint() -> str:
    """Of what decides over validity: every file, the tool, and the kit's providers."""
    judges = run(find_kit() / "terraform" / "tf-offline-init", "--list").stdout + run(find_tool("terraform"), "version").stdout
    digest = hashlib.sha256(judges.encode())
    for file in sorted(file for file in TERRAFORM.rglob("*") if file.is_file() and ".terraform" not in file.parts):
        digest.update(f"\n{name(file)}\n".encode() + file.read_bytes())
    return digest.hexdigest()


def test_examples_are_valid(counted) -> None:
    """all examples, and with them all modules, are valid by the providers' own schemas"""
    judged = VALID.read_text() if VALID.exists() else ""
    now = fingerprint()
    if judged != now:
        with copied() as copy:
            root = together(copy, examples())
            terraform(root, "init", "-backend=false")
            assert "Success" in terraform(root, "validate")
        VALID.write_text(now)
    counted("examples, as judged before" if judged == now else "examples", len(examples()))


@pytest.mark.slow
@pytest.mark.parametrize("folder", modules(), ids=name)
def test_module(folder) -> None:
    """a module alone: its own tests with mocked providers"""
    offline()
    done = checked(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"test\s+Success! [1-9]\d* passed, 0 failed", done.stdout), done.stdout


# --- meaning ---------------------------------------------------------------------------------------------------------


def defaults(plan: Plan) -> set[str]:
    """The providers that tag everything by themselves, each as `module.x:aws`, or `aws` at the root."""
    configured = plan.configuration.get("provider_config", {})
    return {key for key, one in configured.items() if {"default_tags", "default_labels"} & set(one.get("expressions", {}))}


def untagged(resource: Resource, tagging: set[str]) -> bool:
    """Whether a resource can carry tags but gets none, from itself or from its provider's defaults."""
    attribute = "labels" if resource.provider.startswith("google") else "tags"
    able = attribute in resource.values or attribute in resource.unknown
    call = re.match(r"module\.\w+", resource.address)
    ours = {resource.provider, f"{call[0] if call else ''}:{resource.provider}"}
    return able and not tagging & ours and not resource.has(attribute)


@pytest.mark.slow
def test_everything_is_tagged(counted) -> None:
    """everything in the examples that can carry tags or labels does"""
    wrong = [resource.address for resource in every().resources if untagged(resource, defaults(every()))]
    assert not wrong, "\n".join(wrong)
    counted("resources", len(every().resources))


@pytest.mark.slow
@pytest.mark.parametrize("folder", environments(), ids=name)
def test_environment_is_tagged_and_holds_no_secret(folder, counted) -> None:
    """an environment is valid by the providers' own schemas; everything in it carries tags, nothing holds a secret"""
    plan = planned(folder)
    assert plan.resources
    wrong = [resource.address for resource in plan.resources if untagged(resource, defaults(plan))]
    wrong += [found for resource in plan.resources for found in secrets(resource)]
    assert not wrong, "\n".join(wrong)
    counted("resources", len(plan.resources))


def secrets(resource: Resource) -> list[str]:
    found = [path for path, value in walk(resource.values) if SECRET.search(path) and isinstance(value, str) and value]
    kept = [f"{resource.address}.{path}" for path in found if path.rpartition(".")[2] not in NO_SECRET]
    return kept + ([resource.address] if resource.type in IN_STATE else [])


@pytest.mark.slow
def test_no_secret_in_a_plan(counted) -> None:
    """no plan, and so no state, holds a secret: passwords are write-only, ephemeral or the cloud's own"""
    wrong = [found for resource in every().resources for found in secrets(resource)]
    assert not wrong, "\n".join(wrong)
    bad = Resource("x.y", "x", "aws", {"a": [{"master_password": "p"}]}, {}, {})
    assert secrets(bad) == ["x.y.a[0].master_password"], "the check notices nothing"
    counted("resources", len(every().resources))


def test_own_checks_notice() -> None:
    """the check of tags notices a resource without, and lets the provider's defaults count"""
    bare = Resource("x.y", "x", "azurerm", {"tags": None}, {}, {})
    assert untagged(bare, set()) and not untagged(bare, {"azurerm"})
    assert not untagged(bare._replace(values={"tags": {"a": "b"}}), set())
    assert not untagged(bare._replace(values={}), set())


# --- scanners --------------------------------------------------------------------------------------------------------

MAX_SUPPRESSIONS = 40


class Finding(NamedTuple):
    id: str
    file: str
    what: str


def checkov() -> tuple[list[Finding], int]:
    """What checkov finds in all of infra/terraform, and how many rules passed. It asks the network for nothing."""
    command = ["--framework", "terraform", "--skip-download", "--compact", "--quiet", "--output", "json"]
    done = run(find_tool("checkov"), "--directory", TERRAFORM, *command)
    report = json.loads(done.stdout)
    assert report["summary"]["parsing_errors"] == 0, "checkov could not read every file"
    failed = report["results"]["failed_checks"]
    return [Finding(one["check_id"], one["file_path"].lstrip("/"), one["resource"]) for one in failed], report["summary"][
        "passed"
    ]


def trivy() -> tuple[list[Finding], int]:
    """What trivy finds in all of infra/terraform, all severities, and how many rules passed."""
    command = ["config", "--quiet", "--skip-check-update", "--misconfig-scanners", "terraform", "--format", "json"]
    done = run(find_tool("trivy"), *command, TERRAFORM)
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)["Results"]
    found = [(result["Target"], one) for result in results for one in result.get("Misconfigurations", [])]
    passed = sum(result["MisconfSummary"]["Successes"] for result in results if "MisconfSummary" in result)
    return [Finding(one["ID"], target, one["Message"]) for target, one in found], passed


def suppressions() -> list[dict[str, Any]]:
    return yaml.safe_load((TERRAFORM / "suppressions.yaml").read_text()) or []


def suppressed(finding: Finding, entry: dict[str, Any]) -> bool:
    return finding.id == entry["id"] and any(finding.file.startswith(f"{where}/") for where in entry["where"])


def test_suppressions_have_reasons(counted) -> None:
    """at most 40 findings are suppressed, each with a place, a reason and a day that has not passed"""
    entries = suppressions()
    assert len(entries) <= MAX_SUPPRESSIONS
    for entry in entries:
        assert set(entry) == {"id", "where", "reason", "until"}, entry
        assert len(entry["reason"]) > 10 and entry["where"], entry
        assert all((TERRAFORM / where).is_dir() for where in entry["where"]), entry
        assert entry["until"] >= datetime.date.today(), f"look again: {entry}"
    counted("suppressions", len(entries))


@pytest.mark.slow
@pytest.mark.parametrize("scanner", [checkov, trivy], ids=lambda scanner: scanner.__name__)
def test_scanners_find_nothing(scanner, counted) -> None:
    """checkov and trivy find nothing that is not suppressed, and nothing is suppressed in vain"""
    found, passed = scanner()
    left = [finding for finding in found if not any(suppressed(finding, entry) for entry in suppressions())]
    assert not left, "\n".join(f"{one.id} {one.file}: {one.what}" for one in left)
    mine = [entry for entry in suppressions() if entry["id"].startswith("CKV") == (scanner is checkov)]
    vain = [entry["id"] for entry in mine if not any(suppressed(finding, entry) for finding in found)]
    assert passed > 100 and not vain, vain
    counted("rules passed", passed)


# --- documents -------------------------------------------------------------------------------------------------------


def test_readme_names_what_exists(counted) -> None:
    """every folder and file that the README of infra/terraform names exists, its commands are terraform's"""
    page = (TERRAFORM / "README.md").read_text()
    named = re.findall(r"`((?:bootstrap|modules|environments|global|mocks|addresses|suppressions)[\w./-]*)`", page)
    missing = [one for one in named if not (TERRAFORM / one).exists() and not one.startswith("global")]
    assert len(named) > 5 and not missing, missing
    (block,) = re.findall(r"^```sh\n(.*?)^```", page, re.M | re.S)
    for line in block.splitlines():
        verb = line.split()[1]
        assert run(find_tool("terraform"), verb, "-help").returncode in (0, 127), line
        flags = re.findall(r" (-[a-z-]+)", line)
        told = run(find_tool("terraform"), verb, "-help").stdout
        assert all(flag in told for flag in flags), line
    counted("names", len(named))
