"""What the functions of all three clouds do with a call of the edge's webhook: who may call, which events are worth a message, its text.

Knows no cloud. Each cloud's main.py gives it the path, the headers and the body, and a way to publish.
"""

from __future__ import annotations

import hmac
import json
import os
from collections.abc import Callable

# (subject, text, key): the same key again is the same message, which a topic with deduplication keeps once.
Publish = Callable[[str, str, str], None]


def worth_a_message(event: dict) -> str | None:
    """One line for somebody who is called at night; None for what heals by itself or is not worth it."""
    name, route = event.get("event"), event.get("route")
    if name == "failover":
        return f"{route}: moved from {event.get('from')} to {event.get('to')}"
    if name == "failback":
        return f"{route}: back from {event.get('from')} to {event.get('to')}"
    if name == "panic":
        return f"{route}: every pool is short"
    if name == "pool" and event.get("short"):
        return f"{event.get('pool')}: too few endpoints are available"
    return None


def handle(path: str, headers: dict[str, str], body: bytes, publish: Publish) -> tuple[int, str]:
    """The status and the text of the answer. The edge asks again after 5xx, and not after 4xx."""
    secret = os.environ["HOOK_SECRET"]
    if not hmac.compare_digest(path.rsplit("/", 1)[-1].encode(), secret.encode()):
        return 404, "no such hook"
    try:
        told = json.loads(body)
        edge, events = told["edge"]["name"], told["events"]
        lines = [line for event in events if (line := worth_a_message(event))]
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        return 400, f"no message of an edge: {problem!r}"
    if not lines:
        return 204, ""
    key = {name.lower(): value for name, value in headers.items()}.get("idempotency-key", "")
    try:
        publish(f"thalweg: {edge}", "\n".join(lines), key)
    except Exception as problem:  # whatever the cloud's library raises: the edge asks again
        print(f"not published: {problem!r}")
        return 503, "not published"
    return 204, ""
