"""OpenTofu: the folder that it is asked for, and that infra/terraform keeps to what it reads as well."""

from __future__ import annotations

import re

from conftest import INFRA, find_tool
from terraform import ADDRESSES, TERRAFORM, blocks, checked, first, hcl, name

TOFU = INFRA / "opentofu"
# What both read, as of OpenTofu 1.11. Terraform alone has actions, list resources, stacks and its own cloud.
BOTH = {"check", "data", "ephemeral", "import", "locals", "module", "moved", "output", "provider", "removed"}
BOTH |= {"resource", "terraform", "variable"}
SETTINGS = {"backend", "provider_meta", "required_providers", "required_version"}


def plain(block: dict) -> set[str]:
    return {key for key in block if not key.startswith("__")}


def foreign(content: dict) -> set[str]:
    """What in a parsed file only Terraform reads."""
    settings = [plain(block) - SETTINGS for block in content.get("terraform", [])]
    return (plain(content) - BOTH).union(*settings)


def test_folder_is_complete_and_valid() -> None:
    """main, variables, outputs, provider are there, and valid with Terraform in OpenTofu's place"""
    find_tool("terraform")
    for part in ("main.tf", "variables.tf", "outputs.tf", "provider.tf", "README.md"):
        assert (TOFU / part).exists(), part
    (settings,) = hcl(TOFU / "provider.tf")["terraform"]
    assert first(settings, "required_version") == ">= 1.11" and "gcs" in settings["backend"][0]
    done = checked(TOFU)
    assert done.returncode == 0, done.stdout + done.stderr


def test_folder_is_thin() -> None:
    """the machines are those of Terraform's module, at the addresses of the one plan"""
    calls = blocks(TOFU, "module")
    assert first(calls["kubeadm"], "source") == "../terraform/modules/kubeadm" and list(calls) == ["kubeadm"]
    assert '["development"]["kubeadm"]' in (TOFU / "main.tf").read_text()
    assert ADDRESSES["development"]["kubeadm"]["network"] == "10.160.0.0/24"


def test_state_is_encrypted() -> None:
    """state and plans are encrypted or refused, by a key that is a variable; only OpenTofu reads that file"""
    (settings,) = hcl(TOFU / "encryption.tofu")["terraform"]
    (encryption,) = settings["encryption"]
    for what in ("state", "plan"):
        assert first(encryption[what][0], "enforced") is True, what
        assert first(encryption[what][0], "method") == "${method.aes_gcm.state}", what
    (provider,) = encryption["key_provider"]
    used = re.findall(r"var\.(\w+)", str(provider))
    assert used == ["state_key"] and "state_key" in blocks(TOFU, "variable")


def test_terraform_keeps_to_what_both_read(counted) -> None:
    """no file of infra/terraform holds a block that OpenTofu 1.11 does not read"""
    files = [file for file in TERRAFORM.rglob("*.tf") if ".terraform" not in file.parts]
    wrong = [f"{name(file)}: {sorted(foreign(hcl(file)))}" for file in files if foreign(hcl(file))]
    others = [
        name(file) for kind in ("*.tfstack.hcl", "*.tfdeploy.hcl", "*.tfquery.hcl") for file in TERRAFORM.rglob(kind)
    ]
    assert files and not wrong + others, "\n".join(wrong + others)
    assert foreign({"action": [], "terraform": [{"cloud": [], "backend": []}]}) == {"action", "cloud"}
    counted("files", len(files))
