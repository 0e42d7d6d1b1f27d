"""Each endpoint's answer, on the application itself."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from app.main import BYTES_MAX, create_app
from app.settings import Settings
from app.stores import Cache, Database

AWS = Settings(cloud="aws", region="us-east-1", instance="a-1")
WHO = {"cloud": "aws", "region": "us-east-1", "instance": "a-1"}


def answer(settings: Settings, method: str, path: str, **request: object) -> httpx.Response:
    """One request to a fresh application."""
    return answers(settings, [(method, path)], **request)[-1]


def answers(
    settings: Settings, calls: list[tuple[str, str]], **request: object
) -> list[httpx.Response]:
    """Several requests, in order, to one fresh application."""

    async def ask() -> list[httpx.Response]:
        transport = httpx.ASGITransport(create_app(settings))
        async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
            return [await client.request(method, path, **request) for method, path in calls]

    return asyncio.run(ask())


@pytest.fixture
def listening() -> Iterator[int]:
    """A port that accepts connections and says nothing."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


@pytest.mark.parametrize(
    ("method", "path", "status", "body"),
    [
        ("GET", "/", 200, {"message": "Hello from us-east-1 on aws"} | WHO),
        ("GET", "/hello", 200, {"message": "Hello, world"} | WHO),
        ("GET", "/health", 200, {"status": "ok"}),
        ("GET", "/ready", 200, {"status": "ready", "dependencies": {}}),
        ("GET", "/alive", 200, {"status": "alive"}),
        ("GET", "/nowhere", 404, {"detail": "Not Found"}),
        ("POST", "/health", 405, {"detail": "Method Not Allowed"}),
    ],
)
def test_an_endpoint_answers_with_its_json(
    method: str, path: str, status: int, body: dict[str, object]
) -> None:
    response = answer(AWS, method, path)
    assert (response.status_code, response.json()) == (status, body)


@pytest.mark.parametrize("path", ["/", "/hello", "/health", "/ready", "/alive", "/metrics"])
def test_head_is_answered_like_get(path: str) -> None:
    assert answer(AWS, "HEAD", path).status_code == 200


@pytest.mark.parametrize(
    ("settings", "status", "body"),
    [
        (Settings(), 200, "ok"),
        (Settings(health_fail=True), 503, "unhealthy"),
        (Settings(health_fail_file="/nonexistent/fail"), 200, "ok"),
        (Settings(health_fail_file=__file__), 503, "unhealthy"),
    ],
)
def test_health_fails_only_when_told_to(settings: Settings, status: int, body: str) -> None:
    response = answer(settings, "GET", "/health")
    assert (response.status_code, response.json()) == (status, {"status": body})


@pytest.mark.parametrize(
    ("database", "redis", "status", "verdict"),
    [
        ("postgresql://u:secret@127.0.0.1:{down}/d", None, 503, {"database": "refused"}),
        ("postgresql+asyncpg://127.0.0.1:{down}/d", None, 503, {"database": "refused"}),
        ("postgresql://127.0.0.1:{mute}/d", None, 503, {"database": "timeout"}),
        (None, "redis://127.0.0.1:{mute}/0", 200, {"redis": "timeout"}),
        (None, "redis://:secret@127.0.0.1:{down}", 200, {"redis": "refused"}),
        (
            "postgresql://127.0.0.1:{mute}/d",
            "redis://127.0.0.1:{down}",
            503,
            {"database": "timeout", "redis": "refused"},
        ),
        ("not a url", None, 503, {"database": "invalid url"}),
        ("postgresql://127.0.0.1:99999/d", None, 503, {"database": "invalid url"}),
        ("oracle://127.0.0.1/d", None, 503, {"database": "invalid url"}),
        (None, "not a url", 200, {"redis": "invalid url"}),
    ],
)
def test_ready_names_each_configured_dependency(
    database: str | None,
    redis: str | None,
    status: int,
    verdict: dict[str, str],
    listening: int,
    free_port: int,
) -> None:
    def place(url: str | None) -> str | None:
        return url and url.format(mute=listening, down=free_port)

    response = answer(
        Settings(database_url=place(database), redis_url=place(redis), dependency_timeout_s=0.2),
        "GET",
        "/ready",
    )
    assert response.status_code == status
    assert response.json()["dependencies"] == verdict
    assert "secret" not in response.text


@pytest.mark.parametrize(
    ("found", "weight"),
    [
        ({"database": "ok", "redis": "ok"}, None),
        ({"database": "ok", "redis": "refused"}, 50),
        ({"database": "timeout", "redis": "ok"}, 0),
        ({"database": "timeout", "redis": "refused"}, 0),
    ],
)
def test_health_tells_a_weight_where_it_is_asked_for(
    found: dict[str, str], weight: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ping(store: Database | Cache, timeout_s: float) -> str:
        return found["database" if isinstance(store, Database) else "redis"]

    monkeypatch.setattr(Database, "ping", ping)
    monkeypatch.setattr(Cache, "ping", ping)
    urls = {"database_url": "postgresql://h/d", "redis_url": "redis://h/0"}
    calls = [("GET", "/ready"), ("GET", "/health")]
    expected = {"status": "ok"} if weight is None else {"status": "degraded", "weight": weight}
    asked = answers(Settings(health_weight=True, **urls), calls)[-1]
    assert (asked.status_code, asked.json()) == (200, expected)
    unasked = answers(Settings(**urls), calls)[-1]
    assert (unasked.status_code, unasked.json()) == (200, {"status": "ok"})


def test_health_with_a_weight_waits_for_no_store(listening: int) -> None:
    silent = f"127.0.0.1:{listening}"
    urls = {"redis_url": f"redis://{silent}", "database_url": f"postgresql://{silent}/d"}
    settings = Settings(health_weight=True, **urls, dependency_timeout_s=5)
    began = time.monotonic()
    response = answer(settings, "GET", "/health")
    assert time.monotonic() - began < 0.3
    assert response.json() == {"status": "degraded", "weight": 0}


def test_a_weight_does_not_soften_a_failure() -> None:
    response = answer(Settings(health_weight=True, health_fail=True), "GET", "/health")
    assert (response.status_code, response.json()) == (503, {"status": "unhealthy"})


def test_a_silent_dependency_costs_one_timeout() -> None:
    # A full backlog drops further SYNs: the connection neither opens nor fails.
    with socket.socket() as silent, socket.socket() as first, socket.socket() as second:
        silent.bind(("127.0.0.1", 0))
        silent.listen(0)
        for filler in (first, second):
            filler.setblocking(False)
            filler.connect_ex(silent.getsockname())
        place = f"127.0.0.1:{silent.getsockname()[1]}"
        urls = {"redis_url": f"redis://{place}", "database_url": f"postgresql://{place}/d"}
        settings = Settings(**urls, dependency_timeout_s=0.05)
        response = answer(settings, "GET", "/ready")
    assert response.json() == {
        "status": "unavailable",
        "dependencies": {"database": "timeout", "redis": "timeout"},
    }


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 1_000_000])
@pytest.mark.parametrize("declared", [False, True])
def test_bytes_streams_exactly_that_many(size: int, declared: bool) -> None:
    response = answer(AWS, "GET", f"/bytes/{size}?declared={declared}")
    assert len(response.content) == size
    assert response.headers.get("content-length") == (str(size) if declared else None)
    assert all(byte == place % 256 for place, byte in enumerate(response.content[:1000]))


@pytest.mark.parametrize(
    "path",
    [
        "/bytes/-1",
        f"/bytes/{BYTES_MAX + 1}",
        "/bytes/many",
        "/sse?count=0",
        "/sse?count=10001",
        "/sse?interval_ms=-1",
    ],
)
def test_what_is_out_of_bounds_is_refused(path: str) -> None:
    assert answer(AWS, "GET", path).status_code == 422


@pytest.mark.parametrize("body", [b"", b"x", b"\x00\xff" * 100_000])
def test_echo_returns_the_body_and_its_type(body: bytes) -> None:
    response = answer(AWS, "POST", "/echo", content=body, headers={"content-type": "a/b"})
    assert (response.status_code, response.content) == (200, body)
    assert response.headers["content-type"] == "a/b"


def test_sse_sends_numbered_events() -> None:
    response = answer(AWS, "GET", "/sse?count=3&interval_ms=0")
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.text == "".join(f"id: {n}\nevent: tick\ndata: {n}\n\n" for n in range(3))


@pytest.mark.parametrize(
    "line",
    [
        'app_requests_total{method="GET",route="/health",status="200"} 2.0',
        'app_requests_total{method="HEAD",route="/",status="200"} 1.0',
        'app_requests_total{method="GET",route="/bytes/{size}",status="200"} 2.0',
        'app_requests_total{method="GET",route="-",status="404"} 1.0',
        'app_requests_total{method="other",route="/",status="405"} 1.0',
        'app_request_duration_seconds_count{route="/health"} 2.0',
        f'app_info{{cloud="aws",instance="a-1",region="us-east-1",version="{"0.1.0"}"}} 1.0',
        "app_healthy 1.0",
        "app_requests_in_flight 1.0",
    ],
)
def test_metrics_count_by_route_template(line: str) -> None:
    calls = [
        ("GET", "/health"),
        ("GET", "/health"),
        ("HEAD", "/"),
        ("GET", "/bytes/1"),
        ("GET", "/bytes/2"),
        ("GET", "/no/such/place"),
        ("BREW", "/"),
        ("GET", "/metrics"),
    ]
    assert line in answers(AWS, calls)[-1].text.splitlines()


def test_a_scrape_alone_tells_whether_it_is_healthy(tmp_path: Path) -> None:
    fail = tmp_path / "fail"

    def scraped(settings: Settings) -> list[str]:
        return answer(settings, "GET", "/metrics").text.splitlines()

    assert "app_healthy 1.0" in scraped(Settings(health_fail_file=str(fail)))
    fail.touch()
    assert "app_healthy 0.0" in scraped(Settings(health_fail_file=str(fail)))
    assert "app_healthy 0.0" in scraped(Settings(health_fail=True))


@pytest.mark.parametrize(
    ("headers", "logged"),
    [
        ({"x-request-id": "r-1"}, "r-1\n"),
        ({"X-Request-Id": "r-2"}, "r-2\n"),
        ({}, ""),
        ({"x-request-id": "x" * 500}, "x" * 128 + "\n"),
    ],
)
def test_a_request_id_is_one_line_of_the_request_log(
    headers: dict[str, str], logged: str, tmp_path: Path
) -> None:
    log = tmp_path / "requests"
    answer(Settings(request_log=str(log)), "GET", "/", headers=headers)
    assert log.read_text() == logged


def test_the_request_log_is_appended_to(tmp_path: Path) -> None:
    log = tmp_path / "requests"
    log.write_text("before\n")
    answer(Settings(request_log=str(log)), "GET", "/nowhere", headers={"x-request-id": "r"})
    assert log.read_text() == "before\nr\n"


@pytest.mark.parametrize(
    ("content", "path", "delayed_s"),
    [
        ("80", "/", [0.08]),
        ("80\n", "/ready", [0.08]),
        ("80", "/health", []),
        ("", "/", []),
        ("soon", "/", []),
        ("-5", "/", []),
        ("999999999", "/", [600]),
        (None, "/", []),
    ],
)
def test_the_slow_file_delays_all_but_health(
    content: str | None,
    path: str,
    delayed_s: list[float],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr("app.middleware.asyncio.sleep", sleep)
    slow = tmp_path / "slow"
    if content is not None:
        slow.write_text(content)
    assert answer(Settings(slow_file=str(slow)), "GET", path).status_code == 200
    assert slept == delayed_s


def test_the_openapi_document_lists_the_endpoints() -> None:
    paths = json.loads(answer(AWS, "GET", "/openapi.json").text)["paths"]
    assert {"/", "/hello", "/health", "/ready", "/alive", "/metrics"} <= set(paths)
