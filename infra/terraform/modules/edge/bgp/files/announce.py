#!/usr/bin/env python3
"""Lets BIRD announce the edge's address while the edge's /readyz says yes, and withholds it otherwise.

Asks /readyz at an interval. The announcement begins when the answer was yes for `--announce-after-s` without a break, and
ends with `--fall` answers of no in a row; no answer is a no. The order to BIRD is repeated at every turn, so a BIRD that
was started again (it starts with the prefix withheld) is told again. It never changes BIRD's configuration.
"""

from __future__ import annotations

import argparse
import http.client
import os
import re
import signal
import socket
import sys
import time
import urllib.parse
from dataclasses import dataclass


@dataclass
class Judge:
    """Whether to announce, from answers and their times."""

    fall: int
    announce_after_s: float
    announced: bool = False
    noes: int = 0
    ready_since: float | None = None

    def seen(self, ready: bool, now: float) -> bool:
        """Takes one answer; returns whether the address is to be announced from now on."""
        if not ready:
            self.noes += 1
            self.ready_since = None
            self.announced = self.announced and self.noes < self.fall
            return self.announced
        self.noes = 0
        if self.ready_since is None:
            self.ready_since = now
        self.announced = self.announced or now - self.ready_since >= self.announce_after_s
        return self.announced


def is_ready(url: urllib.parse.SplitResult, timeout_s: float) -> bool:
    """One question to /readyz. The time limit holds for connecting and for each read."""
    connection = http.client.HTTPConnection(url.hostname or "", url.port or 80, timeout=timeout_s)
    try:
        connection.request("GET", url.path or "/", headers={"Connection": "close"})
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def tell_bird(control: str, order: str, timeout_s: float = 1.0) -> str:
    """Gives BIRD one order on its control socket and returns its answer; raises OSError when that is no success."""
    with socket.socket(socket.AF_UNIX) as bird:
        bird.settimeout(timeout_s)
        bird.connect(control)
        answer = _reply(bird)
        bird.sendall(order.encode() + b"\n")
        answer = _reply(bird)
    if re.search(r"^[89]\d{3}", answer, re.M):
        raise OSError(f"{order}: {answer.strip()}")
    return answer


def _reply(bird: socket.socket) -> str:
    """Reads up to the line that ends an answer: four digits and a space."""
    text = ""
    while not re.search(r"^\d{4} [^\n]*\n", text, re.M):
        part = bird.recv(4096)
        if not part:
            raise OSError("BIRD closed its control socket")
        text += part.decode(errors="replace")
    return text


def tell_systemd(state: str) -> None:
    """READY=1 and WATCHDOG=1; nothing where no systemd listens."""
    path = os.environ.get("NOTIFY_SOCKET")
    if path:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.connect("\0" + path[1:] if path.startswith("@") else path)
            notify.sendall(state.encode())


def order_all(options: argparse.Namespace, announce: bool) -> bool:
    """Tells BIRD the state of every protocol; False where BIRD did not obey."""
    obeyed = True
    for protocol in options.protocols:
        try:
            tell_bird(options.control, f"{'enable' if announce else 'disable'} {protocol}")
        except OSError as problem:
            obeyed = False
            print(f"bird: {problem}", file=sys.stderr, flush=True)
    return obeyed


def follow(options: argparse.Namespace) -> None:
    """Asks, judges and orders until a signal ends the process."""
    judge = Judge(options.fall, options.announce_after_s)
    url, told = urllib.parse.urlsplit(options.url), None
    tell_systemd("READY=1")
    while True:
        announce = judge.seen(is_ready(url, options.timeout_ms / 1000), time.monotonic())
        if order_all(options, announce) and announce != told:
            print("announced" if announce else "withheld", file=sys.stderr, flush=True)
            told = announce
        tell_systemd("WATCHDOG=1")
        time.sleep(options.interval_ms / 1000)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:9900/readyz")
    parser.add_argument("--control", default="/run/bird/bird.ctl")
    parser.add_argument("--interval-ms", type=int, default=500)
    parser.add_argument("--timeout-ms", type=int, default=500)
    parser.add_argument("--fall", type=int, default=2)
    parser.add_argument("--announce-after-s", type=float, default=60)
    parser.add_argument("protocols", nargs="+", help="BIRD's static protocols, for example anycast4")
    return parser.parse_args()


def main() -> int:
    options = arguments()
    # SIGTERM becomes an exception, so that the finally block withdraws the address on every exit.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        follow(options)
    finally:
        order_all(options, announce=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
