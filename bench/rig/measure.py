"""Reads the kernel's and the endpoint's counters. CPU time per request is Δ(utime+stime) ÷ requests that arrived.

Both ends of a window are read while the load is running, so connection set-up and ramp-up fall outside.
"""

from __future__ import annotations

import json
import os
import pathlib
import time
from dataclasses import dataclass

from . import peers

TICK_S = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Reading:
    at_s: float
    cpu_s: float
    core_busy_s: float
    requests: int


@dataclass(frozen=True)
class Window:
    seconds: float
    requests: int
    cpu_us_per_request: float
    rps: float
    proxy_share: float  # of its core
    foreign_share: float  # of the proxy's core, used by something else: above a few percent the figures are noise


def read(pids: list[int], core: int, endpoint_port: int) -> Reading:
    requests = served(endpoint_port)
    return Reading(time.monotonic(), cpu_seconds(pids), core_busy_seconds(core), requests)


def window(first: Reading, last: Reading) -> Window:
    seconds, requests = last.at_s - first.at_s, last.requests - first.requests
    cpu, busy = last.cpu_s - first.cpu_s, last.core_busy_s - first.core_busy_s
    return Window(
        seconds=seconds,
        requests=requests,
        cpu_us_per_request=cpu / requests * 1e6 if requests else float("nan"),
        rps=requests / seconds,
        proxy_share=cpu / seconds,
        foreign_share=max(0.0, busy - cpu) / seconds,
    )


def served(endpoint_port: int) -> int:
    return json.loads(peers.get(endpoint_port, "/stats", timeout=5)[2])["requests"]


def cpu_seconds(pids: list[int]) -> float:
    ticks = 0
    for pid in pids:
        # The command name may hold spaces and brackets: count fields from the last bracket.
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks * TICK_S


def core_busy_seconds(core: int) -> float:
    for line in pathlib.Path("/proc/stat").read_text().splitlines():
        if line.startswith(f"cpu{core} "):
            user, nice, system, _idle, _iowait, irq, softirq, steal, *_ = map(int, line.split()[1:])
            return (user + nice + system + irq + softirq + steal) * TICK_S
    return 0.0


def rss_bytes(pids: list[int]) -> int:
    """Sum of VmRSS. Pages that nginx's master and worker share count twice, as `ps` would show them."""
    total = 0
    for pid in pids:
        for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                total += int(line.split()[1]) * 1024
    return total


def open_sockets(pids: list[int]) -> int:
    count = 0
    for pid in pids:
        for fd in os.scandir(f"/proc/{pid}/fd"):
            try:
                count += os.readlink(fd.path).startswith("socket:")
            except OSError:
                pass
    return count


def machine() -> dict[str, object]:
    model = next(
        (line.split(":", 1)[1].strip() for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
         if line.startswith("model name")), "unknown",
    )  # fmt: skip
    return {"cpu": model, "cores": os.cpu_count(), "kernel": os.uname().release, "load_average": os.getloadavg()}
