#!/usr/bin/env python3
"""Resident memory of one client connection in each unfinished state, beside HAProxy and nginx.

    bench/connection_memory.py [--thalweg target/release/thalweg] [--count 2000]

Each proxy runs with one worker, a plain and a TLS listener, and time-outs longer than the run. Connections come from
loopback only. The figure is (RSS with them - RSS before) / count, after a warm-up of the same kind.
"""

import argparse
import functools
import resource
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
from pathlib import Path

HEAD = b"GET / HTTP/1.1\r\nHost: a.test\r\nX-Slow: "
BODY = b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1000000\r\n\r\nx"

THALWEG = """version = 1
[edge]
workers = 1
[admin]
bind = "127.0.0.1:{admin}"
[[listener]]
name = "web"
bind = "127.0.0.1:{plain}"
[[listener]]
name = "secure"
bind = "127.0.0.1:{tls}"
tls = {{ certificates = [{{ cert = "{dir}/a.crt", key = "{dir}/a.key" }}] }}
[pool.p]
endpoints = [{{ address = "127.0.0.1:{endpoint}" }}]
[route.all]
policy = "failover"
pools = [{{ pool = "p" }}]
timeouts = {{ idle = "600s" }}
[limits]
max_connections = 50000
header_timeout = "600s"
idle_timeout = "600s"
"""

HAPROXY = """global
 maxconn 9000
 nbthread 1
defaults
 mode http
 timeout connect 5s
 timeout client 600s
 timeout server 600s
 timeout http-request 600s
 timeout http-keep-alive 600s
listen web
 bind 127.0.0.1:{plain}
 bind 127.0.0.1:{tls} ssl crt {dir}/both.pem
 server s 127.0.0.1:{endpoint}
"""

NGINX = """daemon off;
pid {dir}/nginx.pid;
error_log {dir}/nginx.log;
worker_processes 1;
worker_rlimit_nofile 19000;
events {{ worker_connections 9000; }}
http {{
 access_log off;
 client_header_timeout 600s; client_body_timeout 600s; keepalive_timeout 600s;
 client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u;
 scgi_temp_path {dir}/s;
 server {{
  listen 127.0.0.1:{plain};
  listen 127.0.0.1:{tls} ssl;
  ssl_certificate {dir}/a.crt; ssl_certificate_key {dir}/a.key;
  location / {{ proxy_pass http://127.0.0.1:{endpoint}; proxy_request_buffering off; proxy_http_version 1.1; }}
 }}
}}
"""


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def rss(pid: int) -> int:
    """Bytes of a process and its children."""
    total = 0
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    for one in [str(pid), *children]:
        for line in Path(f"/proc/{one}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                total += int(line.split()[1]) * 1024
    return total


def client_hello() -> bytes:
    """What a TLS client says first."""
    into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        context().wrap_bio(into, out, server_hostname="a.test").do_handshake()
    except ssl.SSLWantReadError:
        pass
    return out.read()


@functools.cache
def context() -> ssl.SSLContext:
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    return client


def open_one(kind: str, ports: dict[str, int]) -> socket.socket:
    tls = kind in ("half handshake", "idle TLS")
    one = socket.create_connection(("127.0.0.1", ports["tls" if tls else "plain"]))
    if kind == "slow head":
        one.sendall(HEAD)
    elif kind == "slow body":
        one.sendall(BODY)
    elif kind == "half handshake":
        one.sendall(client_hello())
    elif kind == "idle TLS":
        return context().wrap_socket(one, server_hostname="a.test")
    return one


KINDS = ["silent", "slow head", "half handshake", "idle TLS", "slow body"]


def measure(name: str, command: list[str], ports: dict[str, int], count: int) -> None:
    for kind in KINDS:
        # A process of its own for each kind: memory that an earlier kind gave back is not counted as free.
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as child:
            try:
                until_listening(ports)
                warm = [open_one(kind, ports) for _ in range(50)]
                time.sleep(1)
                before = rss(child.pid)
                held = [open_one(kind, ports) for _ in range(count)]
                time.sleep(2)
                each = (rss(child.pid) - before) / count
                print(f"{name:10} {kind:15} {each / 1024:6.1f} KiB", flush=True)
                for one in warm + held:
                    one.close()
            finally:
                child.terminate()


def until_listening(ports: dict[str, int]) -> None:
    for port in (ports["plain"], ports["tls"]):
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                time.sleep(0.1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--thalweg", default="target/release/thalweg")
    parser.add_argument("--count", type=int, default=2000)
    args = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    # An endpoint whose kernel accepts and whose process reads nothing.
    endpoint = socket.create_server(("127.0.0.1", 0), backlog=args.count + 100)
    with tempfile.TemporaryDirectory() as folder:
        subject = ["-subj", "/CN=a.test", "-days", "2", "-keyout", f"{folder}/a.key", "-out", f"{folder}/a.crt"]
        new = ["openssl", "req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
        subprocess.run([*new, *subject], check=True, capture_output=True)
        both = Path(f"{folder}/a.crt").read_text() + Path(f"{folder}/a.key").read_text()
        Path(f"{folder}/both.pem").write_text(both)
        for name, template, command in [
            ("thalweg", THALWEG, [args.thalweg, "run", "--config"]),
            ("haproxy", HAPROXY, ["haproxy", "-db", "-f"]),
            ("nginx", NGINX, ["nginx", "-p", folder, "-c"]),
        ]:
            path = shutil.which(command[0]) or shutil.which(command[0], path="/usr/sbin")
            if path is None:
                print(f"{name:10} not installed")
                continue
            ports = {"plain": free_port(), "tls": free_port(), "admin": free_port()}
            file = Path(folder) / f"{name}.conf"
            file.write_text(template.format(dir=folder, endpoint=endpoint.getsockname()[1], **ports))
            measure(name, [path, *command[1:], str(file)], ports, args.count)


if __name__ == "__main__":
    main()
