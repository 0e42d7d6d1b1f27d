"""What a run may be told: environment variables in, one frozen value out. Reads the environment nowhere else."""

from __future__ import annotations

import os
import pathlib
from dataclasses import dataclass

BENCH = pathlib.Path(__file__).resolve().parent.parent
OUT = BENCH / "out"
PEERS = ("nginx", "haproxy", "envoy", "thalweg")
SCENARIOS = ("h1", "tls-h1", "tls-h2", "body-64k", "body-1m", "open", "idle", "reload")


@dataclass(frozen=True)
class Settings:
    rounds: int
    duration_s: float
    warmup_s: float
    quick: bool
    peers: tuple[str, ...]
    scenarios: tuple[str, ...]
    proxy_core: int
    load_core: int
    nice: int
    idle_connections: int
    open_levels: tuple[int, ...]  # percent of nginx's closed-loop peak
    thalweg_bin: pathlib.Path
    tools_dir: pathlib.Path  # bench-load and bench-endpoint


def from_environment(env: dict[str, str] = os.environ) -> Settings:
    quick = env.get("QUICK", "") not in ("", "0")
    cores = sorted(os.sched_getaffinity(0))
    release = target_dir(env) / "release"
    return Settings(
        rounds=int(env.get("ROUNDS", 1 if quick else 5)),
        duration_s=float(env.get("DURATION", 1 if quick else 5)),
        warmup_s=float(env.get("WARMUP", 0.3 if quick else 1)),
        quick=quick,
        peers=chosen(env, "PEERS", PEERS),
        scenarios=chosen(env, "SCENARIOS", SCENARIOS),
        proxy_core=int(env.get("PROXY_CORE", cores[0])),
        load_core=int(env.get("LOAD_CORE", cores[-1])),
        nice=int(env.get("NICE", -10)),
        idle_connections=int(env.get("IDLE_CONNECTIONS", 1000 if quick else 10_000)),
        open_levels=(30,) if quick else (30, 50, 70),
        thalweg_bin=pathlib.Path(env.get("THALWEG_BIN") or release / "thalweg").absolute(),
        tools_dir=pathlib.Path(env.get("BENCH_TOOLS") or release).absolute(),
    )


def target_dir(env: dict[str, str]) -> pathlib.Path:
    return pathlib.Path(env.get("CARGO_TARGET_DIR") or BENCH.parent / "target")


def chosen(env: dict[str, str], key: str, known: tuple[str, ...]) -> tuple[str, ...]:
    names = tuple(env.get(key, "").replace(",", " ").split()) or known
    unknown = set(names) - set(known)
    if unknown:
        raise SystemExit(f"{key}: unknown {', '.join(sorted(unknown))} (known: {', '.join(known)})")
    return tuple(name for name in known if name in names)
