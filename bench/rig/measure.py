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
    user_s: float
    system_s: float
    core_busy_s: float
    softirq_s: float  # of the proxy's cores
    requests: int


@dataclass(frozen=True)
class Window:
    seconds: float
    requests: int
    ticks: int  # of the proxy's CPU time
    user_us: float  # per request, as the two below
    system_us: float
    cpu_us: float  # both together
    rps: float
    proxy_share: float  # of its cores
    foreign_share: float  # of the proxy's cores, used by something else: above a few percent the figures are noise


def read(pids: list[int], cores: tuple[int, ...], endpoint_port: int) -> Reading:
    requests = served(endpoint_port)
    user, system = cpu_seconds(pids)
    busy, softirq = core_seconds(cores)
    return Reading(time.monotonic(), user, system, busy, softirq, requests)


def window(first: Reading, last: Reading, cores: int = 1) -> Window:
    seconds, requests = last.at_s - first.at_s, last.requests - first.requests
    user, system = last.user_s - first.user_s, last.system_s - first.system_s
    busy, each = last.core_busy_s - first.core_busy_s, 1e6 / requests if requests else float("nan")
    # What a proxy sends over loopback is received in a soft interrupt on its own core. Some kernels charge it to the
    # proxy, some to no process (CONFIG_IRQ_TIME_ACCOUNTING): the cost is the proxy's either way.
    system += min(max(0.0, busy - user - system), last.softirq_s - first.softirq_s)
    return Window(
        seconds=seconds,
        requests=requests,
        ticks=round((user + system) / TICK_S),
        user_us=user * each,
        system_us=system * each,
        cpu_us=(user + system) * each,
        rps=requests / seconds,
        proxy_share=(user + system) / seconds / cores,
        foreign_share=max(0.0, busy - user - system) / seconds / cores,
    )


def served(endpoint_port: int) -> int:
    return json.loads(peers.get(endpoint_port, "/stats", timeout=5)[2])["requests"]


def cpu_seconds(pids: list[int]) -> tuple[float, float]:
    """User and system time of the processes since they started."""
    user = system = 0
    for pid in pids:
        # The command name may hold spaces and brackets: count fields from the last bracket.
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        user += int(fields[11])
        system += int(fields[12])
    return user * TICK_S, system * TICK_S


def core_seconds(cores: tuple[int, ...]) -> tuple[float, float]:
    """Busy time of these cores, and how much of it was soft interrupts."""
    names, busy, softirqs = {f"cpu{core}" for core in cores}, 0, 0
    for line in pathlib.Path("/proc/stat").read_text().splitlines():
        name, *fields = line.split()
        if name in names:
            user, nice, system, _idle, _iowait, irq, softirq, steal, *_ = map(int, fields)
            busy += user + nice + system + irq + softirq + steal
            softirqs += softirq
    return busy * TICK_S, softirqs * TICK_S


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
