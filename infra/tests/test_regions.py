"""Between regions: what leaves an edge arrives in time, and both sides' policies let it through."""

from __future__ import annotations

import re
import tomllib

from conftest import INFRA, ROOT
from k8s import of_kind, one, rendered

# The longest way between two clouds' regions, and what the application may take for its answer.
ROUND_TRIP_MS, ANSWER_MS = 220, 240


def milliseconds(written: str) -> int:
    number, unit = re.fullmatch(r"(\d+)(ms|s|m|h)", written).groups()
    return int(number) * {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}[unit]


def test_a_cold_probe_reaches_the_farthest_region(counted) -> None:
    """Every shipped config with several regions gives a probe 3 round trips between them, and the answer"""
    texts = {
        title: one(manifests, "ConfigMap")["data"]["thalweg.toml"]
        for title, manifests in rendered().items()
        if title.startswith("thalweg-edge.")
    }
    # full.toml writes every key's default.
    examples = [path for path in (ROOT / "config").glob("*.toml") if path.name != "full.toml"]
    shipped = [INFRA / "packaging" / "thalweg.toml", *examples]
    texts |= {path.name: path.read_text(encoding="utf-8") for path in shipped}
    number = 0
    for title, text in texts.items():
        config = tomllib.loads(text)
        far = [pool for pool in config["pool"].values() if pool.get("region")]
        if len({pool["region"] for pool in far}) < 2:
            continue
        for name in {pool["probe"] for pool in far if "probe" in pool}:
            given = milliseconds(config["probe"][name].get("timeout", "300ms"))
            assert given >= 3 * ROUND_TRIP_MS + ANSWER_MS, (title, name, given)
            number += 1
    assert {"thalweg.toml", "latency.toml", "failover.toml", "weighted.toml"} <= set(texts)
    counted("probes", number)
