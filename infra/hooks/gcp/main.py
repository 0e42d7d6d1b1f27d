"""Google Cloud Run function, HTTP: messages go to the Pub/Sub topic TOPIC (projects/…/topics/…)."""

from __future__ import annotations

import os

from google.cloud import pubsub_v1
from thalweg_hook import handle


def publish(subject: str, text: str, key: str) -> None:
    # The result is waited for: what was not published is a 503, and the edge asks again.
    pubsub_v1.PublisherClient().publish(os.environ["TOPIC"], text.encode(), subject=subject, key=key).result(timeout=20)


def hook(request) -> tuple[str, int]:
    status, said = handle(request.path, dict(request.headers), request.get_data(), publish)
    return said, status
