"""What only the real server can show: sockets, streams, signals, files that outlive it."""

from __future__ import annotations

import json
import re
import signal
import socket
import time
from contextlib import suppress
from pathlib import Path

import pytest
from websockets.sync.client import connect

from tests.conftest import APP_DIR, Region, StartRegion

AWS = {"CLOUD": "aws", "REGION": "us-east-1", "INSTANCE": "a-1"}


def receive_until(connection: socket.socket, mark: bytes) -> bytes:
    """What arrives up to and with `mark`; the socket's timeout is the deadline."""
    seen = b""
    while mark not in seen:
        piece = connection.recv(65_536)
        assert piece, f"closed before {mark!r}: {seen!r}"
        seen += piece
    return seen


def open_connection(region: Region) -> socket.socket:
    return socket.create_connection(("127.0.0.1", region.port), timeout=10)


def test_the_environment_reaches_the_answers(start_region: StartRegion) -> None:
    region = start_region(**AWS)
    expected = {"message": "Hello from us-east-1 on aws"} | {k.lower(): v for k, v in AWS.items()}
    assert region.client.get("/").json() == expected
    assert region.client.get("/health").json() == {"status": "ok"}
    assert region.client.head("/").content == b""


def test_health_check_fail_is_read_at_start(start_region: StartRegion) -> None:
    response = start_region(HEALTH_CHECK_FAIL="true").client.get("/health")
    assert (response.status_code, response.json()) == (503, {"status": "unhealthy"})


def test_health_follows_the_fail_file(start_region: StartRegion, tmp_path: Path) -> None:
    fail = tmp_path / "fail"
    client = start_region(HEALTH_CHECK_FAIL_FILE=str(fail)).client
    seen = []
    for failing in (False, True, False):
        if failing:
            fail.touch()
        else:
            fail.unlink(missing_ok=True)
        seen.append(client.get("/health").status_code)
    assert seen == [200, 503, 200]
    assert client.get("/").status_code == 200


def test_the_slow_file_acts_while_it_exists(start_region: StartRegion, tmp_path: Path) -> None:
    slow = tmp_path / "slow"
    slow.write_text("300")
    client = start_region(SLOW_FILE=str(slow)).client
    started = time.monotonic()
    client.get("/")
    assert time.monotonic() - started >= 0.3
    slow.unlink()
    assert client.get("/").status_code == 200


def test_the_request_log_survives_a_kill(start_region: StartRegion, tmp_path: Path) -> None:
    log = tmp_path / "requests"
    region = start_region(REQUEST_LOG=str(log))
    ids = [f"id-{number}" for number in range(50)]
    for request_id in ids:
        region.client.get("/", headers={"X-Request-Id": request_id})
    region.process.kill()
    region.process.wait()
    assert log.read_text().split() == ids


def test_echo_streams_while_the_body_is_still_coming(start_region: StartRegion) -> None:
    with open_connection(start_region()) as connection:
        connection.sendall(
            b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n"
        )
        assert b" 200 " in receive_until(connection, b"first")
        connection.sendall(b"6\r\nsecond\r\n0\r\n\r\n")
        receive_until(connection, b"second")


LIMIT = 65_536


def note_of(size: int) -> bytes:
    """A note's JSON of exactly that many bytes: blanks fill it up."""
    return b'{"text": "a"}'.ljust(size)


@pytest.mark.parametrize(("size", "status"), [(LIMIT, 501), (LIMIT + 1, 413)])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_above_the_limit_is_refused_and_counted(
    start_region: StartRegion, size: int, status: int, chunked: bool
) -> None:
    client, body = start_region().client, note_of(size)
    answer = client.post(
        "/notes",
        content=iter([body[:60_000], body[60_000:]]) if chunked else body,
        headers={"content-type": "application/json", "x-request-id": "big"},
    )
    assert (answer.status_code, answer.json()["request_id"]) == (status, "big")
    assert answer.json()["error"] == {413: "too_large", 501: "no_database"}[status]
    line = f'app_requests_total{{method="POST",route="/notes",status="{status}"}} 1.0'
    assert line in client.get("/metrics").text.splitlines()


def test_what_is_too_large_is_refused_before_it_is_sent(start_region: StartRegion) -> None:
    with open_connection(start_region()) as connection:
        connection.sendall(
            b"POST /notes HTTP/1.1\r\nHost: a\r\nContent-Length: 300000000\r\n"
            b"Expect: 100-continue\r\n\r\n"
        )
        assert receive_until(connection, b"\r\n\r\n").startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("chunked", [False, True])
def test_a_huge_body_costs_no_memory(start_region: StartRegion, chunked: bool) -> None:
    region = start_region()
    pieces, headers = [bytes(1_000_000)] * 100, {"content-type": "application/json"}
    if not chunked:
        headers["content-length"] = "100000000"
    answer = region.client.post("/notes", content=iter(pieces), headers=headers)
    assert answer.status_code == 413
    status = Path(f"/proc/{region.process.pid}/status").read_text()
    peak_kb = int(status.partition("VmHWM:")[2].split()[0])
    assert peak_kb < 150_000
    assert region.client.get("/hello").status_code == 200


def test_a_stream_works_with_a_body_that_no_route_reads(start_region: StartRegion) -> None:
    client, body = start_region().client, bytes(1_000_000)
    assert client.request("GET", "/bytes/5", content=body).content == bytes(range(5))
    assert client.request("GET", "/sse?count=1", content=body).status_code == 200


def test_echo_says_continue_to_a_client_that_waits_for_it(start_region: StartRegion) -> None:
    with open_connection(start_region()) as connection:
        connection.sendall(
            b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
        )
        assert receive_until(connection, b"\r\n\r\n").startswith(b"HTTP/1.1 100 ")
        connection.sendall(b"body")
        assert b" 200 " in receive_until(connection, b"body")


def test_a_connection_is_kept_after_a_large_echo(start_region: StartRegion) -> None:
    client = start_region().client
    body = bytes(3_000_000)
    assert [client.post("/echo", content=body).content == body for _ in range(3)] == [True] * 3


def test_sse_events_arrive_one_by_one(start_region: StartRegion) -> None:
    with open_connection(start_region()) as connection:
        connection.sendall(b"GET /sse?count=2&interval_ms=60000 HTTP/1.1\r\nHost: a\r\n\r\n")
        receive_until(connection, b"data: 0\n\n")


@pytest.mark.parametrize("message", ["text", "", b"\x00\xff", b"", "x" * 100_000])
def test_the_websocket_echoes(start_region: StartRegion, message: str | bytes) -> None:
    with connect(f"ws://127.0.0.1:{start_region().port}/ws") as socket_:
        socket_.send(message)
        assert socket_.recv(timeout=10) == message


def test_the_log_is_json_lines_and_has_none_per_request(start_region: StartRegion) -> None:
    region = start_region(**AWS)
    region.client.get("/")
    region.process.send_signal(signal.SIGTERM)
    region.process.wait(timeout=10)
    lines = [json.loads(line) for line in region.log.read_text().splitlines()]
    assert {"started", "stopped"} <= {line["event"] for line in lines}
    assert not [line for line in lines if "GET" in line["event"]]


def test_missing_tracing_packages_are_logged_and_cost_nothing(
    start_region: StartRegion,
) -> None:
    region = start_region(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1")
    assert region.client.get("/hello").status_code == 200
    assert '"not traced"' in region.log.read_text()


def test_sigterm_ends_the_server(start_region: StartRegion) -> None:
    process = start_region().process
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=10) in (0, -signal.SIGTERM)


def as_in_the_image(start_region: StartRegion, **env: str) -> Region:
    """With the arguments and the server's variables of the Dockerfile."""
    dockerfile = (APP_DIR / "Dockerfile").read_text()
    found = re.search(r'^CMD (\["uvicorn".*\])$', dockerfile, re.M)
    assert found is not None
    words = json.loads(found[1])
    assert words[:6] == ["uvicorn", "app.main:app", "--host", "0.0.0.0", "--port", "8000"]
    set_there = dict(re.findall(r"(UVICORN_[A-Z_]+)=(\d+)", dockerfile))
    return start_region(*words[6:], **(set_there | env))


def idle_s(region: Region, at_most_s: float) -> float:
    """How long an idle connection is kept, as far as it is waited for."""
    with open_connection(region) as connection:
        connection.sendall(b"GET /alive HTTP/1.1\r\nHost: a\r\n\r\n")
        receive_until(connection, b"}")
        began = time.monotonic()
        connection.settimeout(at_most_s)
        with suppress(TimeoutError):
            assert connection.recv(1) == b""
        return time.monotonic() - began


def test_the_image_keeps_idle_connections_for_longer_than_balancers(
    start_region: StartRegion,
) -> None:
    assert idle_s(as_in_the_image(start_region), 7) >= 7  # the server's own default is 5
    variables = (APP_DIR / "Dockerfile").read_text()
    assert int(re.findall(r"UVICORN_TIMEOUT_KEEP_ALIVE=(\d+)", variables)[0]) > 60


def test_a_deployment_sets_how_long_idle_connections_are_kept(start_region: StartRegion) -> None:
    region = as_in_the_image(start_region, UVICORN_TIMEOUT_KEEP_ALIVE="1")
    assert 0.5 < idle_s(region, 4) < 4


def test_a_deployment_sets_how_long_an_end_may_take(start_region: StartRegion) -> None:
    region = as_in_the_image(start_region, UVICORN_TIMEOUT_GRACEFUL_SHUTDOWN="1")
    with open_connection(region) as connection:
        connection.sendall(b"GET /sse?count=2&interval_ms=60000 HTTP/1.1\r\nHost: a\r\n\r\n")
        receive_until(connection, b"data: 0\n\n")
        region.process.send_signal(signal.SIGTERM)
        assert region.process.wait(timeout=10) in (0, -signal.SIGTERM)
