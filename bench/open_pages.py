#!/usr/bin/env python3
"""What an audience costs: CPU per request of an edge with open event streams of the page and `thalweg top`, beside one
without any.

    bench/open_pages.py [--thalweg target/release/thalweg] [--pages 20] [--rounds 5] [--seconds 5] [--rate 2000]

Two edges with one worker each run side by side in front of one endpoint (another edge's static answer is not needed:
`--endpoint HOST:PORT` names one that answers fast). The rounds alternate: h2load sends the same load over HTTP/1.1 to
one edge, then to the other. CPU is that of the whole process, control thread included, from /proc. For figures, use the
trained build on a quiet machine.
"""

import argparse
import os
import pty
import socket
import statistics
import subprocess
import tempfile
import threading
import time
from pathlib import Path

CONFIG = """version = 1
[edge]
workers = 1
[admin]
bind = "127.0.0.1:{admin}"
[[listener]]
name = "web"
bind = "127.0.0.1:{web}"
[pool.p]
endpoints = [{{ address = "{endpoint}" }}]
[route.all]
policy = "failover"
pools = [{{ pool = "p" }}]
[log]
access = "off"
"""


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def cpu_seconds(pid: int) -> float:
    """CPU of a process since its start, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Endpoint(threading.Thread):
    """Answers each request of each connection with two bytes."""

    ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.socket.getsockname()[1]}"

    def run(self) -> None:
        while True:
            connection, _ = self.socket.accept()
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while data := connection.recv(65_536):
            connection.sendall(self.ANSWER * data.count(b"\r\n\r\n"))


class Edge:
    def __init__(self, thalweg: str, folder: Path, endpoint: str) -> None:
        self.admin, self.web = free_port(), free_port()
        config = folder / f"{self.web}.toml"
        config.write_text(CONFIG.format(admin=self.admin, web=self.web, endpoint=endpoint))
        command = [thalweg, "run", "--config", str(config)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(500):
            try:
                socket.create_connection(("127.0.0.1", self.web)).close()
                return
            except ConnectionRefusedError:
                time.sleep(0.02)
        raise TimeoutError("the edge does not listen")

    def load(self, rate: int, seconds: int) -> tuple[float, int]:
        """CPU seconds and requests of one load."""
        before = cpu_seconds(self.process.pid)
        command = ["h2load", "--h1", "-c", "8", "-t", "1", "--rps", str(rate // 8), "-D", str(seconds)]
        told = subprocess.run(
            [*command, f"http://127.0.0.1:{self.web}/"], capture_output=True, text=True, check=True
        ).stdout
        line = next(line for line in told.splitlines() if line.startswith("requests:"))
        done, failed = (int(word.split()[0]) for word in (line.split(",")[3], line.split(",")[4]))
        assert failed == 0, line
        return cpu_seconds(self.process.pid) - before, done


def watch(edge: Edge, thalweg: str, pages: int) -> list[subprocess.Popen[bytes]]:
    """Opens the pages' event streams, read to their end by one thread each, and `thalweg top` in a terminal."""

    def read() -> None:
        stream = socket.create_connection(("127.0.0.1", edge.admin))
        stream.sendall(f"GET /api/v1/stream HTTP/1.1\r\nHost: 127.0.0.1:{edge.admin}\r\n\r\n".encode())
        assert stream.recv(65_536).startswith(b"HTTP/1.1 200"), "the stream opens"
        while stream.recv(65_536):
            pass

    for _ in range(pages):
        threading.Thread(target=read, daemon=True).start()
    screen, terminal = pty.openpty()
    command = [thalweg, "top", "--admin", f"http://127.0.0.1:{edge.admin}"]
    top = subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=subprocess.DEVNULL)

    def drain() -> None:
        try:
            while os.read(screen, 65_536):
                pass
        except OSError:
            return

    threading.Thread(target=drain, daemon=True).start()
    time.sleep(1)
    assert top.poll() is None, "top runs"
    return [top]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--thalweg", default="target/release/thalweg")
    parser.add_argument("--endpoint")
    for name, default in (("pages", 20), ("rounds", 5), ("seconds", 5), ("rate", 2000)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    endpoint = given.endpoint
    if endpoint is None:
        own = Endpoint()
        own.start()
        endpoint = own.address
    with tempfile.TemporaryDirectory() as folder:
        edges = [Edge(given.thalweg, Path(folder), endpoint) for _ in range(2)]
        others: list[subprocess.Popen[bytes]] = []
        try:
            others = watch(edges[1], given.thalweg, given.pages)
            ratios = []
            for nth in range(given.rounds):
                costs = {}
                for which in (0, 1) if nth % 2 == 0 else (1, 0):
                    cpu, done = edges[which].load(given.rate, given.seconds)
                    costs[which] = 1e6 * cpu / done
                ratios.append(costs[1] / costs[0])
                print(f"{costs[0]:7.1f} µs alone  {costs[1]:7.1f} µs watched  {ratios[-1]:.3f}", flush=True)
            print(f"median of {given.rounds}: {statistics.median(ratios):.3f}")
        finally:
            for process in [*others, *(edge.process for edge in edges)]:
                process.terminate()
                process.wait()


if __name__ == "__main__":
    main()
