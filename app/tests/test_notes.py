"""The notes API on a real PostgreSQL and a real Redis, which die and come back."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests import stores
from tests.conftest import Region, running_region

DEADLINE_S = 20.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stores")


@pytest.fixture(scope="module")
def database(folder: Path) -> Iterator[stores.Store]:
    with stores.postgres(folder) as store:
        yield store


@pytest.fixture(scope="module")
def cache(folder: Path) -> Iterator[stores.Store]:
    with stores.redis(folder) as store:
        yield store


@pytest.fixture(scope="module")
def region(database: stores.Store, cache: stores.Store, folder: Path) -> Iterator[Region]:
    env = {"DATABASE_URL": database.url, "REDIS_URL": cache.url, "REGION": "eu"}
    with running_region(env, folder / "region.log") as region:
        until(lambda: region.client.get("/notes").status_code == 200)
        yield region


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < deadline, "it did not come to hold"
        time.sleep(0.05)


def write(region: Region, text: str = "hello") -> int:
    answer = region.client.post("/notes", json={"text": text})
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def metric(region: Region, line: str) -> float:
    for found in region.client.get("/metrics").text.splitlines():
        if found.startswith(line + " "):
            return float(found.rsplit(" ", 1)[1])
    return 0.0


def ready(region: Region) -> tuple[int, str, dict[str, str]]:
    answer = region.client.get("/ready")
    return answer.status_code, answer.json()["status"], answer.json()["dependencies"]


def test_a_note_is_written_read_listed_and_deleted(region: Region) -> None:
    before = metric(region, "app_notes_created_total")
    answer = region.client.post("/notes", json={"text": "first"})
    note = answer.json()
    assert (answer.status_code, answer.headers["location"]) == (201, f"/notes/{note['id']}")
    assert (note["text"], note["region"]) == ("first", "eu")
    assert region.client.get(f"/notes/{note['id']}").json() == note
    assert region.client.get("/notes", params={"limit": 1}).json() == [note]
    assert region.client.delete(f"/notes/{note['id']}").status_code == 204
    for method in ("GET", "DELETE"):
        assert region.client.request(method, f"/notes/{note['id']}").status_code == 404
    assert metric(region, "app_notes_created_total") == before + 1


def test_a_note_that_was_read_comes_from_the_cache(region: Region) -> None:
    number = write(region)
    hits = 'app_cache_requests_total{result="hit"}'
    before = metric(region, hits)
    first = region.client.get(f"/notes/{number}")
    second = region.client.get(f"/notes/{number}")
    assert first.json() == second.json()
    assert metric(region, hits) == before + 1


@pytest.mark.parametrize(
    "text",
    ["x" * 2000, "'; DROP TABLE notes; --", "%s :text {0} \\", "żółw 🐢\n\ttab", "\u202e\ufeff"],
)
def test_any_text_comes_back_as_it_was(region: Region, text: str) -> None:
    number = write(region, text)
    for _ in range(2):  # from the database, then from the cache
        assert region.client.get(f"/notes/{number}").json()["text"] == text
    assert region.client.get("/notes").status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'{"text": 7}',
        b'{"text": ""}',
        b'{"text": null}',
        b'{"txt": "a"}',
        b'{"text": "a\\u0000b"}',
        b'{"text": "\\ud800"}',
        b'{"text": "' + b"x" * 2001 + b'"}',
        b"\xff\xfe",
    ],
)
def test_what_cannot_be_stored_is_refused(region: Region, body: bytes) -> None:
    before = region.client.get("/notes", params={"limit": 1}).json()
    headers = {"content-type": "application/json"}
    assert region.client.post("/notes", content=body, headers=headers).status_code in (400, 422)
    assert region.client.get("/notes", params={"limit": 1}).json() == before


def test_the_longest_note_fits_however_it_is_written(region: Region) -> None:
    body = b'{"text": "' + b"\\ud83d\\udc22" * 2000 + b'"}'
    headers = {"content-type": "application/json"}
    answer = region.client.post("/notes", content=body, headers=headers)
    assert (answer.status_code, answer.json()["text"]) == (201, "🐢" * 2000)


@pytest.mark.parametrize("number", ["0", "-1", "x", "1.5", str(2**63), "1%00", "1;DROP"])
def test_what_is_no_number_of_a_note_is_refused(region: Region, number: str) -> None:
    for method in ("GET", "DELETE"):
        assert region.client.request(method, f"/notes/{number}").status_code in (404, 422)


@pytest.mark.parametrize("limit", ["0", "101", "-1", "many"])
def test_what_is_no_limit_is_refused(region: Region, limit: str) -> None:
    assert region.client.get("/notes", params={"limit": limit}).status_code == 422


def test_without_a_database_the_notes_say_so(tmp_path: Path) -> None:
    with running_region({}, tmp_path / "log") as region:
        answer = region.client.get("/notes/1", headers={"x-request-id": "abc-1"})
    assert (answer.status_code, answer.json()["error"]) == (501, "no_database")
    assert answer.json()["request_id"] == "abc-1"


def test_a_region_starts_before_its_database_and_two_make_the_schema_at_once(
    folder: Path, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        store = stack.enter_context(stores.postgres(tmp_path))
        store.kill()
        env = {"DATABASE_URL": store.url}
        regions = [
            stack.enter_context(running_region(env, tmp_path / f"{nth}.log")) for nth in range(2)
        ]
        for region in regions:
            answer = region.client.get("/notes")
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
            assert ready(region) == (503, "unavailable", {"database": "refused"})
            assert region.client.get("/health").status_code == 200
        store.start()
        for region in regions:
            until(lambda region=region: region.client.get("/notes").status_code == 200)
            write(region)


def test_a_cache_that_dies_costs_no_request(region: Region, cache: stores.Store) -> None:
    number = write(region)
    region.client.get(f"/notes/{number}")
    cache.kill()
    try:
        for _ in range(20):
            assert region.client.get(f"/notes/{number}").status_code == 200
        assert region.client.delete(f"/notes/{write(region)}").status_code == 204
        assert ready(region) == (200, "degraded", {"database": "ok", "redis": "refused"})
        assert metric(region, 'app_dependency_up{dependency="redis"}') == 0
    finally:
        cache.start()
    until(lambda: ready(region)[1] == "ready")
    hits = metric(region, 'app_cache_requests_total{result="hit"}')

    def served_from_cache() -> bool:
        region.client.get(f"/notes/{number}")
        return metric(region, 'app_cache_requests_total{result="hit"}') > hits

    until(served_from_cache)


def test_a_cache_that_hangs_is_not_asked_for_a_while(region: Region, cache: stores.Store) -> None:
    number = write(region)
    cache.signal(signal.SIGSTOP)
    try:
        answers = [region.client.get(f"/notes/{number}").status_code for _ in range(20)]
        assert answers == [200] * 20
        assert metric(region, 'app_cache_requests_total{result="skipped"}') > 0
        assert ready(region)[:2] == (200, "degraded")
    finally:
        cache.signal(signal.SIGCONT)
    until(lambda: ready(region)[1] == "ready")


def test_a_note_deleted_while_the_cache_hangs_stays_deleted(
    region: Region, database: stores.Store, cache: stores.Store, tmp_path: Path
) -> None:
    env = {"DATABASE_URL": database.url, "REDIS_URL": cache.url}
    with running_region(env, tmp_path / "log") as other:
        number = write(region)
        note = f"/notes/{number}"
        assert [each.client.get(note).status_code for each in (region, other)] == [200, 200]
        cache.signal(signal.SIGSTOP)
        try:
            # The error begins the pause: Redis is not asked to forget what is deleted in it.
            assert region.client.get(f"/notes/{number + 1}").status_code == 404
            assert region.client.delete(note).status_code == 204
        finally:
            cache.signal(signal.SIGCONT)
        began = time.monotonic()
        while time.monotonic() - began < 3:
            assert region.client.get(note).status_code == 404
        # Another instance forgets it long before its TTL.
        assert other.client.get(note).status_code == 404
    until(lambda: ready(region)[1] == "ready")


@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_a_database_that_dies_is_a_503_and_comes_back(
    region: Region, database: stores.Store, how: str
) -> None:
    number = write(region)
    statuses: list[tuple[str, int]] = []
    over = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=region.client.base_url, timeout=30) as client:
            while not over.is_set():
                statuses.append(("get", client.get("/notes").status_code))
                statuses.append(("post", client.post("/notes", json={"text": "x"}).status_code))

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        until(lambda: len(statuses) > 10)
        database.kill() if how == "killed" else database.signal(signal.SIGSTOP)
        until(lambda: ("get", 503) in statuses and ("post", 503) in statuses)
        code, status, dependencies = ready(region)
        assert (code, status, dependencies["redis"]) == (503, "unavailable", "ok")
        assert dependencies["database"] in (
            "refused",
            "timeout",
            "unreachable",
            "ConnectionDoesNotExistError",
        )
    finally:
        database.start() if how == "killed" else database.signal(signal.SIGCONT)
    until(lambda: ready(region)[1] == "ready")
    until(lambda: statuses[-1] == ("post", 201) or statuses[-2] == ("post", 201))
    over.set()
    asking.join()
    assert {status for _, status in statuses} <= {200, 201, 503}
    assert region.client.get(f"/notes/{number}").json()["id"] == number


def test_a_request_in_flight_is_answered_before_the_end(
    database: stores.Store, tmp_path: Path
) -> None:
    slow, arrived = tmp_path / "slow", tmp_path / "arrived"
    env = {"DATABASE_URL": database.url, "SLOW_FILE": str(slow), "REQUEST_LOG": str(arrived)}
    with running_region(env, tmp_path / "log") as region:
        until(lambda: region.client.get("/notes").status_code == 200)
        slow.write_text("700")
        answers: list[int] = []

        def ask() -> None:
            url, headers = f"{region.client.base_url}/notes", {"x-request-id": "last"}
            answers.append(httpx.post(url, json={"text": "last"}, headers=headers).status_code)

        asking = threading.Thread(target=ask)
        asking.start()
        until(lambda: "last" in arrived.read_text())
        region.process.send_signal(signal.SIGTERM)
        asking.join()
        assert answers == [201]
        assert region.process.wait(10) in (0, -signal.SIGTERM)
    assert '"stopped"' in (tmp_path / "log").read_text()


@pytest.mark.parametrize("url", ["nonsense", "mysql://a/b", "postgresql://", "postgresql://h:x/b"])
def test_an_invalid_url_is_reported_but_not_shown(tmp_path: Path, url: str) -> None:
    with running_region({"DATABASE_URL": url}, tmp_path / "log") as region:
        assert ready(region) == (503, "unavailable", {"database": "invalid url"})
        assert region.client.get("/notes").status_code == 503
    assert url not in (tmp_path / "log").read_text()


def test_health_follows_the_stores_where_it_is_asked_for(
    database: stores.Store, cache: stores.Store, folder: Path
) -> None:
    env = {"DATABASE_URL": database.url, "REDIS_URL": cache.url, "HEALTH_WEIGHT": "true"}
    with running_region(env, folder / "weighted.log") as region:

        def health() -> dict[str, object]:
            answer = region.client.get("/health")
            assert answer.status_code == 200
            return answer.json()

        until(lambda: health() == {"status": "ok"})
        cache.kill()
        until(lambda: health() == {"status": "degraded", "weight": 50})
        database.kill()
        until(lambda: health() == {"status": "degraded", "weight": 0})
        database.start()
        cache.start()
        until(lambda: health() == {"status": "ok"})
