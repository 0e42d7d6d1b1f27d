"""`make run-server`: the application alone, as its developers start it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess

from conftest import ROOT, run
from monitored import app_python, free_ports, get, until


def test_make_run_server_serves_until_it_is_ended(counted) -> None:
    """`make run-server` serves on the port that it is given, with the region that it is given, and ends on Ctrl-C"""
    app_python()
    (port,) = free_ports(1)
    names = {"PORT": str(port), "REGION": "eu-west-1", "CLOUD": "aws"}
    # A session of its own, so that Ctrl-C reaches make and what it started, as in a terminal.
    server = subprocess.Popen(
        ["make", "run-server"], cwd=ROOT, env=os.environ | names, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        until("it answers", lambda: get(f"http://127.0.0.1:{port}/health") == (200, '{"status":"ok"}'), 60)
        assert json.loads(get(f"http://127.0.0.1:{port}/")[1])["region"] == "eu-west-1"
        taken = run("make", "run-server", PORT=str(port))
        assert taken.returncode and f"port {port} is taken" in taken.stderr, taken.stderr
        os.killpg(server.pid, signal.SIGINT)
        server.wait(timeout=20)
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)), "somebody still listens"
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGKILL)
        server.communicate(timeout=10)
    refused = run("make", "run-server", PORT="none")
    assert refused.returncode and "PORT=none is not a port" in refused.stderr
    counted("starts", 3)
