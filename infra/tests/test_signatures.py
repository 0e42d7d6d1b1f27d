"""Signatures at admission outside Google Cloud: Kyverno asks for the identity that verify-image.sh asks for, of every image that is ours."""

from __future__ import annotations

import fnmatch
import re

from conftest import INFRA
from k8s import CHARTS, CLOUDS, SERVICES, one, parsed, rendered, validate

FILE = INFRA / "policy" / "signatures" / "kyverno.yaml"


def rule() -> dict:
    (found,) = one(parsed(FILE.read_text()), "ClusterPolicy")["spec"]["rules"]
    return found


def full(image: str) -> str:
    """An image's name as Kyverno matches it: with registry, library and tag."""
    first = image.split("/")[0]
    if "/" not in image:
        return f"docker.io/library/{image}"
    return image if "." in first or ":" in first else f"docker.io/{image}"


def images(title: str) -> set[str]:
    found = set()
    for manifest in rendered()[title]:
        spec = manifest["spec"] if manifest["kind"] == "Pod" else manifest.get("spec", {}).get("template", {}).get("spec", {})
        found |= {container["image"] for container in spec.get("containers", []) + spec.get("initContainers", [])}
    return found


def test_the_policy_is_valid_and_closed() -> None:
    """Strictly valid; what cannot be judged is refused; images become digests; pods of both namespaces are asked"""
    assert validate({"kyverno": parsed(FILE.read_text())}) == 1
    spec = one(parsed(FILE.read_text()), "ClusterPolicy")["spec"]
    assert spec["failurePolicy"] == "Fail"
    (match,) = rule()["match"]["any"]
    assert match["resources"] == {"kinds": ["Pod"], "namespaces": ["apps", "edges"]} and "exclude" not in rule()
    (images,) = rule()["verifyImages"]
    assert images["failureAction"] == "Enforce" and images["required"] and images["verifyDigest"] and images["mutateDigest"]


def test_the_identity_is_the_deliverys() -> None:
    """The workflow, the branch and the issuer are those of verify-image.sh, for the signature and for the bill of materials"""
    (images,) = rule()["verifyImages"]
    script = (INFRA / "scripts" / "verify-image.sh").read_text()
    told = re.search(r"--certificate-identity \"https://github.com/\$GITHUB_REPOSITORY(/[^\"]*)\$branch\"", script)[1]
    issuer = re.search(r"--certificate-oidc-issuer (\S+)", script)[1]
    branch = re.search(r"production\) branch=(\w+) ;;", script)[1]
    for attestors in (images["attestors"], *(each["attestors"] for each in images["attestations"])):
        ((entry,),) = [[e["keyless"] for e in attestor["entries"]] for attestor in attestors]
        assert entry["subject"] == f"https://github.com/example/thalweg{told}{branch}" and entry["issuer"] == issuer
        assert "*" not in entry["subject"] and attestors[0]["count"] == 1
    assert "verify-attestation --type spdxjson" in script
    assert [each["type"] for each in images["attestations"]] == ["https://spdx.dev/Document"], "what cosign calls spdxjson"


def test_every_image_of_ours_is_asked_for(counted) -> None:
    """Of all that production runs in these namespaces only the gate's Python is let through unsigned"""
    (verified,) = rule()["verifyImages"]
    skipped, asked = set(), set()
    titles = [f"{name}.{cloud}.prod" for name in (*CHARTS, *SERVICES) for cloud in CLOUDS]
    for title in titles:
        for image in images(title):
            assert any(fnmatch.fnmatchcase(full(image), pattern) for pattern in verified["imageReferences"])
            skips = any(fnmatch.fnmatchcase(full(image), pattern) for pattern in verified["skipImageReferences"])
            (skipped if skips else asked).add(image.rsplit(":", 1)[0])
    assert skipped == {"python"} and len(asked) >= 2, (skipped, asked)
    for stranger in ("docker.io/library/pythons:1", "evil.example.com/docker.io/library/python:1", "docker.io/python/x:1"):
        assert not any(fnmatch.fnmatchcase(stranger, pattern) for pattern in verified["skipImageReferences"]), stranger
    counted("images", len(asked | skipped))
