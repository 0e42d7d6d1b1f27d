"""Vault's configuration and policies, and the mapping of controls: what each says is so, and its evidence exists."""

from __future__ import annotations

import re

import hcl2
import yaml
from conftest import INFRA, ROOT
from k8s import CHARTS, HELM

VAULT = INFRA / "vault"


def test_vault_is_sealed_and_heard(counted) -> None:
    """Vault: Raft, TLS 1.3 on every listener and join, sealed by KMS without a key in the file, two audit devices"""
    text = (VAULT / "vault.hcl").read_text()
    told = hcl2.loads(text)
    (listener,) = [block["tcp"] for block in told["listener"]]
    assert listener["tls_disable"] == [False] and listener["tls_min_version"] == ["tls13"]
    (raft,) = [block["raft"] for block in told["storage"]]
    assert len(raft["retry_join"]) == 2 and all(one["leader_api_addr"][0].startswith("https://") for one in raft["retry_join"])
    (seal,) = told["seal"]
    assert set(seal) == {"awskms"} and set(seal["awskms"]) == {"region", "kms_key_id"}, "the seal's credentials are the pod's"
    assert "http://" not in text
    devices = re.findall(r"^vault audit enable -path=(\w+) file", (VAULT / "README.md").read_text(), re.M)
    assert sorted(devices) == ["disk", "stdout"]
    counted("audit devices", len(devices))


def test_vault_policies_are_narrow(counted) -> None:
    """each chart's workload reads the secrets that its values name, and has no other right and no wildcard above its own folder"""
    for chart in CHARTS:
        paths = {path: rule for block in hcl2.loads((VAULT / f"policies/{chart}.hcl").read_text())["path"] for path, rule in block.items()}
        assert all(rule["capabilities"] == [["read"]] for rule in paths.values()), chart
        values = yaml.safe_load((HELM / chart / "values.yaml").read_text())["externalSecret"]
        mount = values["vault"]["path"]
        for key in values["keys"].values():
            wanted = f"{mount}/data/{key['name']}"
            assert any(re.fullmatch(path.replace("*", ".*"), wanted) for path in paths), wanted
        assert all(path.startswith(f"{mount}/data/") and path.count("*") <= 1 and not path.startswith(f"{mount}/data/*") for path in paths)
        namespace = "edges" if chart == "thalweg-edge" else "apps"
        page = (VAULT / "README.md").read_text()
        assert f"policy write {chart} infra/vault/policies/{chart}.hcl" in page
        bound = f"role/{chart} bound_service_account_names={chart} bound_service_account_namespaces={namespace} policies={chart}"
        assert bound in page, "a role for this service account in this namespace, and no other"
    counted("policies", len(CHARTS))


def test_controls_have_evidence(counted) -> None:
    """each control names the standards' demands and evidence that exists"""
    page = (ROOT / "docs" / "controls.md").read_text()
    rows = [line.strip("|").split("|") for line in page.splitlines() if line.startswith("| ") and not line.startswith("| control")]
    assert len(rows) >= 12
    for cells in rows:
        assert len(cells) == 7 and all(cell.strip() for cell in cells), cells
        named = re.findall(r"`([^`]+)`", cells[-1])
        assert named and all((ROOT / name).exists() for name in named), cells
        assert any(cell.strip() != "–" for cell in cells[1:5])
    counted("controls", len(rows))
