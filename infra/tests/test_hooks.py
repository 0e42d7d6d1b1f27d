"""The functions for the edge's webhook: called with what a real edge posted, by each cloud's own calling convention."""

from __future__ import annotations

import base64
import contextlib
import http.server
import importlib.util
import json
import subprocess
import sys
import threading
import types
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import INFRA
from edge import Region, find_edge, free_port, region, status
from test_edge_fleet import until

HOOKS = INFRA / "hooks"
CLOUDS = ("aws", "gcp", "azure")
SECRET = "only-for-this-check"
CONFIG = """
version = 1
[admin]
bind = "127.0.0.1:{admin}"
[[listener]]
name = "web"
bind = "127.0.0.1:{web}"
[notify]
webhook = "http://127.0.0.1:{hook}/hooks/{secret}"
[probe.fast]
path = "/health"
interval = "200ms"
[pool.near]
probe = "fast"
endpoints = [{{ address = "127.0.0.1:{near}" }}]
[pool.far]
probe = "fast"
endpoints = [{{ address = "127.0.0.1:{far}" }}]
[route.all]
policy = "failover"
pools = [{{ pool = "near" }}, {{ pool = "far", tier = 1 }}]
"""


class Taken(http.server.BaseHTTPRequestHandler):
    """Keeps each call: path, headers, body."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.calls.append((self.path, dict(self.headers), body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


@contextlib.contextmanager
def receiver() -> Iterator[http.server.ThreadingHTTPServer]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Taken) as server:
        server.calls, server.daemon_threads = [], True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


class Near(Region):
    """Healthy until its server's `ill` is set."""

    def do_GET(self) -> None:
        if not self.server.ill.is_set():
            return super().do_GET()
        self.send_error(503)


@contextlib.contextmanager
def near_region() -> Iterator[http.server.ThreadingHTTPServer]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Near) as server:
        server.ill, server.daemon_threads = threading.Event(), True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


Call = tuple[str, dict[str, str], bytes]


@pytest.fixture(scope="module")
def posted(tmp_path_factory) -> list[Call]:
    """What a real edge posts when its near region is gone."""
    folder = tmp_path_factory.mktemp("hooks")
    with receiver() as hook, region() as far, near_region() as near:
        ports = {"admin": free_port(), "web": free_port(), "hook": hook.server_port, "far": far}
        file = folder / "thalweg.toml"
        file.write_text(CONFIG.format(**ports, near=near.server_port, secret=SECRET))
        with open(folder / "log", "w", encoding="utf-8") as log:
            process = subprocess.Popen([find_edge(), "run", "--config", file], stdout=log, stderr=log)
        try:
            until(30, lambda: all(pool["up"] for pool in status(ports["admin"])["pools"]))
            near.ill.set()
            until(30, lambda: any(b'"failover"' in body for _, _, body in hook.calls))
        finally:
            process.kill()
            process.wait()
        return list(hook.calls)


class Topic:
    """Where messages of all clouds arrive: (subject, text, key); `broken`: none is taken."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, str, str]] = []
        self.broken = False

    def take(self, subject: str, text: str, key: str) -> None:
        if self.broken:
            raise OSError("no topic")
        self.messages.append((subject, text, key))


def libraries(topic: Topic) -> dict[str, types.ModuleType]:
    """The clouds' libraries, as far as the functions call them."""
    boto3, functions, pubsub = types.ModuleType("boto3"), types.ModuleType("azure.functions"), types.ModuleType("google.cloud.pubsub_v1")

    class Sns:
        def publish(self, TopicArn: str, Subject: str, Message: str, MessageGroupId: str, MessageDeduplicationId: str) -> None:
            assert TopicArn.endswith(".fifo") and MessageGroupId == Subject
            topic.take(Subject, Message, MessageDeduplicationId)

    class Publisher:
        def publish(self, name: str, data: bytes, subject: str, key: str) -> Any:
            assert name.startswith("projects/")
            return types.SimpleNamespace(result=lambda timeout: topic.take(subject, data.decode(), key))

    class Answer:
        def __init__(self, body: str, status_code: int) -> None:
            self.body, self.status_code = body, status_code

    boto3.client = lambda service: {"sns": Sns}[service]()
    pubsub.PublisherClient = Publisher
    functions.HttpResponse, functions.HttpRequest, functions.Out = Answer, object, list
    azure, google, cloud = types.ModuleType("azure"), types.ModuleType("google"), types.ModuleType("google.cloud")
    azure.functions, google.cloud, cloud.pubsub_v1 = functions, cloud, pubsub
    named = (boto3, azure, functions, google, cloud, pubsub)
    return {module.__name__: module for module in named}


class Output:
    """Azure's output binding."""

    def __init__(self, topic: Topic) -> None:
        self.topic = topic

    def set(self, text: str) -> None:
        said = json.loads(text)
        self.topic.take(said["subject"], said["text"], said["key"])


@pytest.fixture(params=CLOUDS)
def function(request, monkeypatch):
    """function(call) → status of the answer; `function.topic` has the messages."""
    topic = Topic()
    monkeypatch.syspath_prepend(str(HOOKS))
    for name, module in libraries(topic).items():
        monkeypatch.setitem(sys.modules, name, module)
    for name, value in {"HOOK_SECRET": SECRET, "TOPIC_ARN": "arn:aws:sns:x:1:t.fifo", "TOPIC": "projects/p/topics/t"}.items():
        monkeypatch.setenv(name, value)
    spec = importlib.util.spec_from_file_location(f"hook_{request.param}", HOOKS / request.param / "main.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def call(one: Call) -> int:
        path, headers, body = one
        if request.param == "aws":
            event = {"rawPath": path, "headers": headers, "body": base64.b64encode(body).decode(), "isBase64Encoded": True}
            return module.hook(event, None)["statusCode"]
        if request.param == "gcp":
            return module.hook(types.SimpleNamespace(path=path, headers=headers, get_data=lambda: body))[1]
        asked = types.SimpleNamespace(url=f"https://f.example.com{path}?a=b", headers=headers, get_body=lambda: body)
        return module.hook(asked, Output(topic)).status_code

    call.topic = topic
    return call


def test_a_failover_becomes_a_message(function, posted, counted) -> None:
    """What a real edge posted about a lost region: the route's move and the short pool are told, with the edge's name and the call's key"""
    for one in posted:
        assert function(one) == 204
    said = "\n".join(text for _, text, _ in function.topic.messages)
    assert "all: moved from near to far" in said and "near: too few endpoints" in said
    for subject, _, key in function.topic.messages:
        assert subject.startswith("thalweg: ") and key
    assert len(function.topic.messages) <= len(posted), "one message a call at most"
    counted("calls", len(posted))


def test_who_does_not_know_the_path_is_not_heard(function, posted) -> None:
    """Another path is 404 and a body that no edge writes 400: neither is a message, and the edge asks for neither again"""
    path, headers, body = posted[0]
    assert function((path + "x", headers, body)) == 404 and function(("/", headers, body)) == 404
    for wrong in (b"", b"[]", b"{", b'{"edge": {"name": "e"}}', b'{"edge": {"name": "e"}, "events": [1]}', b"\xff"):
        assert function((path, headers, wrong)) == 400, wrong
    assert not function.topic.messages


def test_what_could_not_be_told_is_asked_for_again(function, posted) -> None:
    """A topic that takes nothing is a 503, after which the edge asks again; what is not worth a message is no call to the topic"""
    path, headers, body = next(one for one in posted if b'"failover"' in one[2])
    function.topic.broken = True
    quiet = {"edge": {"name": "e"}, "generation": 1, "events": [{"event": "pool", "pool": "p", "short": False}]}
    assert function((path, headers, json.dumps(quiet).encode())) == 204
    if not isinstance(function.topic, Topic):
        pytest.fail("no topic")
    assert function((path, headers, body)) == 503
