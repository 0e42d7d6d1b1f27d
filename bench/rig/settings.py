"""What a run may be told: environment variables in, one frozen value out. Reads the environment nowhere else."""

from __future__ import annotations

import os
import pathlib
from dataclasses import dataclass

BENCH = pathlib.Path(__file__).resolve().parent.parent
OUT = BENCH / "out"
TRAINED = "thalweg-trained"
PEERS = ("nginx", "haproxy", "envoy", "thalweg", TRAINED)
SCENARIOS = (
    "h1", "h1-1k", "h1-16k", "tls-h1", "tls-h1-1k", "tls-h1-16k", "tls-h2", "tls-h2-1k", "tls-h2-16k", "body-64k", "body-1m",
    "h1-2w", "handshake-full", "handshake-resumed", "key-exchange", "proxy-header", "h2-endpoints", "tcp-1m",
    "attack-rapid-reset", "attack-continuation", "attack-ping", "attack-settings", "attack-byte-updates", "attack-zero-window",
    "endpoints", "open", "idle", "slow-heads", "reload",
)  # fmt: skip


@dataclass(frozen=True)
class Settings:
    rounds: int
    duration_s: float
    warmup_s: float
    quick: bool
    peers: tuple[str, ...]
    scenarios: tuple[str, ...]
    proxy_cores: tuple[int, ...]  # the first one for one worker, the first two for two
    load_cores: tuple[int, ...]
    nice: int
    repeats: int  # how often a window that another process disturbed is measured again
    idle_connections: int
    open_levels: tuple[int, ...]  # percent of nginx's closed-loop peak
    thalweg_bin: pathlib.Path
    trained_bin: pathlib.Path
    plain_bin: pathlib.Path  # what a plain release build writes: tells what the two above are
    tools_dir: pathlib.Path  # bench-load and bench-endpoint

    @property
    def subject(self) -> str:
        """The Thalweg that the ratios and the targets are about: the trained build where it takes part."""
        return TRAINED if TRAINED in self.peers else "thalweg"

    def binary(self, peer: str) -> pathlib.Path:
        return self.trained_bin if peer == TRAINED else self.thalweg_bin


def from_environment(env: dict[str, str] = os.environ, cores: set[int] | None = None) -> Settings:
    quick = truth(env, "QUICK")
    target = target_dir(env)
    plain, trained = target / "release" / "thalweg", pathlib.Path(env.get("TRAINED_BIN") or target / "trained" / "thalweg")
    proxy_cores, load_cores = split_cores(sorted(cores or os.sched_getaffinity(0)), env)
    return Settings(
        rounds=int(env.get("ROUNDS", 1 if quick else 5)),
        duration_s=float(env.get("DURATION", 1 if quick else 5)),
        warmup_s=float(env.get("WARMUP", 0.3 if quick else 1)),
        quick=quick,
        peers=chosen(env, "PEERS", PEERS, PEERS if with_trained(env, trained) else PEERS[:-1]),
        scenarios=chosen(env, "SCENARIOS", SCENARIOS, SCENARIOS),
        proxy_cores=proxy_cores,
        load_cores=load_cores,
        nice=int(env.get("NICE", -10)),
        repeats=int(env.get("REPEATS", 0 if quick else 3)),
        idle_connections=int(env.get("IDLE_CONNECTIONS", 1000 if quick else 10_000)),
        open_levels=(30,) if quick else (30, 50, 70),
        thalweg_bin=pathlib.Path(env.get("THALWEG_BIN") or plain).absolute(),
        trained_bin=trained.absolute(),
        plain_bin=plain.absolute(),
        tools_dir=pathlib.Path(env.get("BENCH_TOOLS") or target / "release").absolute(),
    )


def truth(env: dict[str, str], key: str) -> bool:
    return env.get(key, "") not in ("", "0")


def with_trained(env: dict[str, str], trained: pathlib.Path) -> bool:
    """`BENCH_TRAINED` decides; where it is unset, the trained build takes part if it is there."""
    return truth(env, "BENCH_TRAINED") if "BENCH_TRAINED" in env else trained.exists()


def target_dir(env: dict[str, str]) -> pathlib.Path:
    return pathlib.Path(env.get("CARGO_TARGET_DIR") or BENCH.parent / "target")


def split_cores(cores: list[int], env: dict[str, str]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Proxy cores and load cores. Of four and more, two each; of three, one for the load; of two, one each."""
    spare = 2 if len(cores) >= 4 else 1
    proxy = named_cores(env, "PROXY_CORE") or tuple(cores[:-spare][:2]) or tuple(cores)
    return proxy, named_cores(env, "LOAD_CORE") or tuple(cores[-spare:])


def named_cores(env: dict[str, str], key: str) -> tuple[int, ...]:
    return tuple(map(int, env.get(key, "").replace(",", " ").split()))


def chosen(env: dict[str, str], key: str, known: tuple[str, ...], usual: tuple[str, ...]) -> tuple[str, ...]:
    names = tuple(env.get(key, "").replace(",", " ").split()) or usual
    unknown = set(names) - set(known)
    if unknown:
        raise SystemExit(f"{key}: unknown {', '.join(sorted(unknown))} (known: {', '.join(known)})")
    return tuple(name for name in known if name in names)
