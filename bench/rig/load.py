"""Runs the endpoint and the load generators on the load core, and reads what they report. Never retries a failure."""

from __future__ import annotations

import json
import os
import pathlib
import re
import subprocess
import sys
from dataclasses import dataclass

from . import handshakes, peers
from .settings import BENCH, OUT, Settings

HOST = "bench.example"


class LoadFailed(Exception):
    """The load was not what it claims to be: errors, non-2xx answers, or no report."""


@dataclass(frozen=True)
class Report:
    p50_us: float
    p99_us: float
    detail: dict[str, object]


SIZES = {"/1k": 1024, "/16k": 16 * 1024, "/64k": 64 * 1024, "/1m": 1024 * 1024}


class Endpoint:
    """Three regions: one process, three ports."""

    def __init__(self, settings: Settings):
        self.settings = settings
        self.ports = peers.free_ports(3)
        self.process: subprocess.Popen | None = None

    def __enter__(self) -> Endpoint:
        ports = ",".join(map(str, self.ports))
        self.process = spawn(self.settings, [str(self.settings.tools_dir / "bench-endpoint"), "--ports", ports])
        try:
            peers.wait_until(self.answers, 15, lambda: self.process.poll() is not None)
            wrong = [path for path, size in SIZES.items() if len(peers.get(self.ports[0], path)[2]) != size]
            if wrong:
                raise SystemExit(f"bench-endpoint knows no {', '.join(wrong)}: build it again (BENCH_BUILD=1)")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    def answers(self) -> bool:
        try:
            return all(peers.get(port, "/health")[0] == 200 for port in self.ports)
        except OSError:
            return False


def spawn(settings: Settings, command: list[str], nice: int | None = None, **kwargs) -> subprocess.Popen:
    command = ["taskset", "-c", peers.cpu_list(settings.load_cores), *command]
    usual = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "text": True}
    quiet = os.environ | {"RUST_BACKTRACE": "0"}
    process = subprocess.Popen(command, start_new_session=True, env=quiet, **usual | kwargs)
    peers.raise_priority(process.pid, settings.nice if nice is None else nice)
    started.append(process)
    return process


started: list[subprocess.Popen] = []


def kill_leftovers() -> None:
    """Ends what is still running of what was started here, and nothing else."""
    for process in started:
        if process.poll() is None:
            process.kill()
            process.wait()


WRK_REPORT = """
done = function(s, latency)
  local e = s.errors
  io.write(string.format(
    'REPORT {"requests":%d,"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d,"p50_us":%d,"p99_us":%d}\\n',
    s.requests, e.connect, e.read, e.write, e.status, e.timeout, latency:percentile(50), latency:percentile(99)))
end
"""


def start_wrk(settings: Settings, url: str, seconds: int, connections: int) -> subprocess.Popen:
    script = OUT / "wrk.lua"
    script.write_text(WRK_REPORT)
    flags = ["-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "5s", "-s", str(script)]
    return spawn(settings, [peers.need("wrk"), *flags, url])


def finish_wrk(process: subprocess.Popen, timeout_s: float) -> Report:
    out, _ = communicate(process, timeout_s)
    return parse_wrk(out)


def parse_wrk(out: str) -> Report:
    found = re.search(r"^REPORT (.*)$", out, re.M)
    if not found:
        raise LoadFailed(f"wrk reported nothing: {out.strip()[-200:]!r}")
    report = json.loads(found[1])
    bad = {key: report[key] for key in ("connect", "read", "write", "status", "timeout") if report[key]}
    if bad or not report["requests"]:
        raise LoadFailed(f"wrk: {report['requests']} requests, errors {bad}")
    return Report(report["p50_us"], report["p99_us"], {"load_requests": report["requests"]})


def start_h2load(settings: Settings, url: str, seconds: int, connections: int, streams: int) -> subprocess.Popen:
    log = OUT / "h2load.log"
    log.unlink(missing_ok=True)
    flags = ["-t1", f"-c{connections}", f"-m{streams}", f"-D{seconds}", "--warm-up-time=0", f"--log-file={log}"]
    return spawn(settings, [peers.need("h2load"), *flags, url], stderr=subprocess.STDOUT)


def finish_h2load(process: subprocess.Popen, timeout_s: float) -> Report:
    out, _ = communicate(process, timeout_s)
    return parse_h2load(out, OUT / "h2load.log")


def parse_h2load(out: str, log: pathlib.Path) -> Report:
    counts = re.search(r"(\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", out)
    codes = re.search(r"(\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", out)
    if not counts or not codes:
        raise LoadFailed(f"h2load reported nothing: {out.strip()[-200:]!r}")
    done, succeeded, *bad = map(int, counts.groups())
    if not succeeded or any(bad) or any(map(int, codes.groups()[1:])):
        raise LoadFailed(f"h2load: {counts[0]}; {codes[0]}")
    latencies = sorted(int(line.rsplit("\t", 1)[1]) for line in log.read_text().splitlines())
    tls = {key: m[1] for key in ("TLS Protocol", "Cipher", "Server Temp Key", "Application protocol")
           if (m := re.search(rf"^{key}: (.*)$", out, re.M))}  # fmt: skip
    if tls.get("Application protocol") != "h2":
        raise LoadFailed(f"negotiated {tls.get('Application protocol')!r}, not h2")
    return Report(quantile(latencies, 0.5), quantile(latencies, 0.99), {"load_requests": done, **tls})


def start_handshakes(settings: Settings, port: int, mode: str, seconds: float) -> subprocess.Popen:
    words = [sys.executable, "-m", "rig.handshakes", str(port), mode, f"{seconds:g}"]
    return spawn(settings, words, cwd=BENCH, stderr=subprocess.STDOUT)


def finish_handshakes(process: subprocess.Popen, timeout_s: float) -> dict:
    out, _ = communicate(process, timeout_s)
    return parse_handshakes(out)


def parse_handshakes(out: str) -> dict:
    """The client's counts, if it did what its mode says: the first connection of a thread has nothing to resume."""
    try:
        report = json.loads(out.strip().splitlines()[-1])
    except (IndexError, ValueError):
        raise LoadFailed(f"the handshake client reported nothing: {out.strip()[-200:]!r}") from None
    first = handshakes.THREADS if report["mode"] == "resumed" else 0
    wanted, other = (report["resumed"], report["full"] - first) if first else (report["full"], report["resumed"])
    if report["errors"] or not wanted or other > 0.01 * wanted:
        raise LoadFailed(f"handshakes, {report['mode']}: {report}; {out.strip().splitlines()[0][:120]}")
    return report


def open_loop(settings: Settings, port: int, rate: float, duration_s: float, seed: int, **flags) -> dict:
    """Offers `rate` for `duration_s` and returns bench-load's report, whether or not the level was held."""
    process = start_open_loop(settings, port, rate, duration_s, seed, **flags)
    return finish_tool(process, duration_s + settings.warmup_s + 30)


def start_open_loop(settings: Settings, port: int, rate: float, duration_s: float, seed: int, **flags):
    flags = {"address": f"127.0.0.1:{port}", "host": HOST, "rate": f"{rate:.0f}", "duration": duration_s,
             "warmup": settings.warmup_s, "connections": 64, "seed": seed, **flags}  # fmt: skip
    return start_tool(settings, "open", **flags)


def start_tool(settings: Settings, mode: str, nice: int | None = None, **flags: object) -> subprocess.Popen:
    words = [word for key, value in flags.items() for word in (f"--{key}", str(value))]
    return spawn(settings, [str(settings.tools_dir / "bench-load"), mode, *words], nice, stderr=subprocess.STDOUT)


def finish_tool(process: subprocess.Popen, timeout_s: float) -> dict:
    out, _ = communicate(process, timeout_s)
    try:
        return json.loads(out.strip().splitlines()[-1])
    except (IndexError, ValueError):
        raise LoadFailed(f"bench-load reported nothing: {out.strip()[-200:]!r}") from None


class Held:
    """Connections that are open and do what they are told: nothing, one request each, or a head that never ends."""

    def __init__(self, settings: Settings, port: int, connections: int):
        words = ["hold", "--address", f"127.0.0.1:{port}", "--connections", str(connections)]
        self.process = spawn(settings, [str(settings.tools_dir / "bench-load"), *words], stdin=subprocess.PIPE)
        self.opened = self.expect("held")

    def order(self, what: str, phase: str) -> dict:
        self.say(what)
        return self.expect(phase)

    def say(self, what: str) -> None:
        self.process.stdin.write(f"{what}\n")
        self.process.stdin.flush()

    def expect(self, phase: str) -> dict:
        line = self.process.stdout.readline()
        report = json.loads(line) if line else {}
        if report.get("phase") != phase or report["failed"]:
            self.close()
            raise LoadFailed(f"{phase}: {report or 'bench-load ended'}")
        return report

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


def communicate(process: subprocess.Popen, timeout_s: float) -> tuple[str, str]:
    try:
        return process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise LoadFailed(f"load still running after {timeout_s:.0f} s") from None


def quantile(ordered: list[int], q: float) -> float:
    if not ordered:
        return float("nan")
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))]


