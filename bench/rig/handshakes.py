"""The client of the handshake scenarios: `python -m rig.handshakes PORT full|resumed SECONDS`, one JSON object at the end.

Each connection is a TLS 1.3 handshake, one GET, the whole answer, the close. The GET is there because a server sends its
tickets after the handshake, to a client that still reads. OpenSSL's `s_time` does not do: it speaks HTTP/1.0 without a Host,
and does not say how many of its connections were resumed. This client counts them, and trusts any certificate.
"""

from __future__ import annotations

import json
import socket
import ssl
import sys
import threading
import time
from collections import Counter

THREADS = 8
REQUEST = b"GET / HTTP/1.1\r\nHost: bench.example\r\nConnection: close\r\n\r\n"


def main(port: int, mode: str, seconds: float) -> int:
    deadline, counts = time.monotonic() + seconds, [Counter() for _ in range(THREADS)]
    threads = [
        threading.Thread(target=client, args=(port, mode == "resumed", deadline, number, counts[number]))
        for number in range(THREADS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    total = sum(counts, Counter())
    print(json.dumps({"mode": mode, "full": 0, "resumed": 0, "errors": 0, **total}))
    return 0


def client(port: int, resume: bool, deadline: float, number: int, counts: Counter) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["http/1.1"])
    source = f"127.0.0.{2 + number}"  # an address each: closed connections keep their ports for a minute
    session = None
    while time.monotonic() < deadline:
        try:
            session = exchange(context, port, source, session if resume else None, counts)
        except (OSError, ValueError) as why:
            counts["errors"] += 1
            print(f"handshake: {type(why).__name__}: {why}", file=sys.stderr)
            time.sleep(0.1)


def exchange(
    context: ssl.SSLContext, port: int, source: str, session: ssl.SSLSession | None, counts: Counter
) -> ssl.SSLSession | None:
    """One connection. Returns the session that its ticket allows to resume."""
    with socket.create_connection(("127.0.0.1", port), timeout=5, source_address=(source, 0)) as tcp:
        tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with context.wrap_socket(tcp, server_hostname="bench.example", session=session) as tls:
            tls.sendall(REQUEST)
            answer = b""
            while piece := tls.recv(16384):
                answer += piece
            if not answer.startswith(b"HTTP/1.1 200"):
                raise ValueError(f"answered {answer[:40]!r}")
            counts["resumed" if tls.session_reused else "full"] += 1
            return tls.session


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2], float(sys.argv[3])))
