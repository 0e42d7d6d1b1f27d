"""Starts and stops the proxies, each from its template, one worker per proxy core. Never measures.

A peer that is not installed or does not come up is reported and left out; the others go on.
"""

from __future__ import annotations

import filecmp
import getpass
import http.client
import json
import os
import pathlib
import random
import shutil
import socket
import ssl
import subprocess
import time

from .settings import BENCH, OUT, TRAINED, Settings

# The fields that every proxy must send to the endpoint and to the client; otherwise the comparison is unfair.
FORWARDED = ("x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-request-id", "via")
# H2C takes HTTP/2 in clear alone; TCP and TCPCOPY what is not HTTP, with and without splice where that is a setting.
PORTS = ("HTTP", "HTTPS", "ADMIN", "PROXY", "H2C", "TCP", "TCPCOPY")
SYSTEM_PATH = os.environ.get("PATH", "") + ":/usr/sbin"


class PeerFailed(Exception):
    """A peer cannot take part; says why."""


class Peer:
    """One proxy. `variant` keeps its files apart from those of the same proxy set up in another way."""

    def __init__(self, name: str, settings: Settings, endpoint_ports: list[int], workers: int = 1, variant: str = ""):
        self.name = name
        self.kind = name.partition("-")[0]
        self.settings = settings
        self.workers = workers
        self.cores = settings.proxy_cores[:workers]
        self.ports = dict(zip(PORTS, free_ports(len(PORTS))))
        stem = name + variant
        self.config = OUT / f"{stem}{CONFIG_SUFFIX[self.kind]}"
        self.log = OUT / f"{stem}.log"
        self.process: subprocess.Popen | None = None
        values = {"OUT": OUT, "USER": getpass.getuser(), "STEM": stem, "WORKERS": workers, **self.ports}
        # Several nginx workers share connections evenly only with a listening socket each.
        values["REUSEPORT"] = " reuseport" if workers > 1 else ""
        values |= {f"EP{n + 1}": port for n, port in enumerate(endpoint_ports)}
        self.config.write_text(render(BENCH / "peers" / f"{self.kind}{CONFIG_SUFFIX[self.kind]}.tmpl", values))

    @property
    def http(self) -> int:
        return self.ports["HTTP"]

    @property
    def https(self) -> int:
        return self.ports["HTTPS"]

    @property
    def admin(self) -> int:
        return self.ports["ADMIN"]

    def start(self) -> None:
        command = ["taskset", "-c", cpu_list(self.cores), *self.command()]
        with self.log.open("ab") as log:
            streams = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log}
            self.process = subprocess.Popen(command, cwd=OUT, start_new_session=True, **streams)
        raise_priority(self.process.pid, self.settings.nice)
        try:
            wait_until(self.answers, 20, lambda: self.process.poll() is not None)
            self.check_headers()
        except PeerFailed as why:
            self.stop()
            raise PeerFailed(f"{self.name}: {why}; see {self.log.relative_to(BENCH)}") from None

    def stop(self) -> None:
        process, self.process = self.process, None
        if process is None or process.poll() is not None:
            return
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def pids(self) -> list[int]:
        """The proxy's processes: nginx is a master and its workers, the others are one."""
        if self.process is None or self.process.poll() is not None:
            raise PeerFailed(f"{self.name} is not running")
        pids = [self.process.pid]
        for pid in pids:
            for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
                pids += [int(child) for child in (task / "children").read_text().split()]
        return pids

    def command(self) -> list[str]:
        config = str(self.config)
        if self.name == "nginx":
            (OUT / "nginx-tmp").mkdir(exist_ok=True)
            return [need("nginx"), "-p", str(OUT), "-c", config]
        if self.name == "haproxy":
            return [need("haproxy"), "-db", "-f", config]
        if self.name == "envoy":
            flags = ["--concurrency", str(self.workers), "--disable-hot-restart", "--log-level", "error"]
            return [envoy_binary(), "-c", config, *flags]
        binary = self.settings.binary(self.name)
        if not os.access(binary, os.X_OK):
            way = "make release, or set TRAINED_BIN" if self.name == TRAINED else "build it, or set THALWEG_BIN"
            raise PeerFailed(f"no binary at {binary} ({way})")
        return [str(binary), "run", "--config", config]

    def answers(self) -> bool:
        """Ready, and every endpoint known to be well: a request goes through and stays good for a moment."""
        try:
            if self.kind == "thalweg" and get(self.admin, "/readyz")[0] != 200:
                return False
            return get(self.http, "/")[0] == 200 and get(self.https, "/", tls=True)[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def check_headers(self) -> None:
        for port, tls in ((self.http, False), (self.https, True)):
            status, headers, body = get(port, "/echo", tls=tls)
            seen = json.loads(body) if status == 200 else {}
            missing = [name for name in FORWARDED if not seen.get(name)]
            if "x-request-id" not in headers:
                missing.append("x-request-id (towards the client)")
            if missing:
                raise PeerFailed(f"forwards no {', '.join(missing)}")


CONFIG_SUFFIX = {"nginx": ".conf", "haproxy": ".cfg", "envoy": ".yaml", "thalweg": ".toml"}


def need(command: str) -> str:
    path = shutil.which(command, path=SYSTEM_PATH)
    if not path:
        raise PeerFailed(f"{command} is not installed")
    return path


def envoy_binary() -> str:
    found = sorted(BENCH.glob(".venv/lib/python*/site-packages/envoy/_bin/envoy"))
    if not found:
        raise PeerFailed("envoy is not installed in bench/.venv")
    return str(found[0])


def version(name: str, settings: Settings) -> str:
    try:
        flags = {"nginx": ("nginx", "-v"), "haproxy": ("haproxy", "-v"), "envoy": (None, "--version")}
        if name.startswith("thalweg"):
            command = [str(settings.binary(name)), "version"]
        else:
            binary, flag = flags[name]
            command = [need(binary) if binary else envoy_binary(), flag]
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
        line = (done.stdout + done.stderr).strip().splitlines()[0]
        build = f" ({build_of(settings.binary(name), settings)})" if name.startswith("thalweg") else ""
        return line.split("version:")[-1].strip() + build
    except (PeerFailed, OSError, IndexError, subprocess.SubprocessError) as why:
        return f"missing ({why})"


def build_of(binary: pathlib.Path, settings: Settings) -> str:
    """Plain or trained. `make release` ships the plain build where it cannot train, and notes beside it which it is."""
    noted = settings.trained_bin.with_name(settings.trained_bin.name + ".build")
    if same(binary, settings.trained_bin) and noted.exists():
        return "trained build" if noted.read_text().strip() == "trained" else "plain build: NOT trained, see `make release`"
    if same(binary, settings.plain_bin):
        return "plain build" if binary != settings.trained_bin else "plain build: NOT trained, see `make release`"
    return f"build not known: {binary}"


def same(one: pathlib.Path, other: pathlib.Path) -> bool:
    return one == other or (one.exists() and other.exists() and filecmp.cmp(one, other, shallow=False))


def cpu_list(cores: tuple[int, ...]) -> str:
    return ",".join(map(str, cores))


def render(template: pathlib.Path, values: dict[str, object]) -> str:
    text = template.read_text()
    for key, value in values.items():
        text = text.replace(f"@{key}@", str(value))
    return text


def make_certificate() -> None:
    """One ECDSA P-256 certificate for all: what a new edge would use, and the same handshake cost for each."""
    crt, key, pem = OUT / "bench.crt", OUT / "bench.key", OUT / "bench.pem"
    if not pem.exists():
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
             "-keyout", key, "-out", crt, "-days", "30", "-subj", "/CN=bench.example",
             "-addext", "subjectAltName=DNS:bench.example,IP:127.0.0.1"],
            check=True, capture_output=True,
        )  # fmt: skip
        pem.write_text(crt.read_text() + key.read_text())


def raise_priority(pid: int, nice: int) -> None:
    """For proxies, endpoint and load alike, where permitted. With autogrouping a nice value counts only inside
    a session, so each has a session of its own, and the session's value is set too."""
    try:
        os.setpriority(os.PRIO_PROCESS, pid, nice)
        pathlib.Path(f"/proc/{pid}/autogroup").write_text(str(nice))
    except OSError:
        pass


def free_ports(count: int) -> list[int]:
    """Ports below the ephemeral range: inside it an outgoing connection may take one before its owner binds it."""
    lowest = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    held: list[socket.socket] = []
    while len(held) < count:
        one = socket.socket()
        try:
            one.bind(("0.0.0.0", random.randrange(10_000, max(lowest, 12_000))))
            held.append(one)
        except OSError:
            one.close()
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


def get(port: int, path: str, tls: bool = False, method: str = "GET", timeout: float = 2):
    """One request on a fresh connection: status, headers (lower case), body."""
    if tls:
        lax = ssl.create_default_context()
        lax.check_hostname, lax.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=timeout, context=lax)
    else:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        headers = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, headers, answer.read()
    finally:
        connection.close()


def wait_until(ready, timeout_s: float, dead=lambda: False) -> None:
    deadline = time.monotonic() + timeout_s
    while not ready():
        if dead():
            raise PeerFailed("ended before it was ready")
        if time.monotonic() > deadline:
            raise PeerFailed(f"not ready after {timeout_s:.0f} s")
        time.sleep(0.05)
