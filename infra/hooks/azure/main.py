"""Azure Function, HTTP trigger with an output binding: messages go to the queue that function.json names."""

from __future__ import annotations

import json
import urllib.parse

import azure.functions as func
from thalweg_hook import handle


def hook(req: func.HttpRequest, message: func.Out[str]) -> func.HttpResponse:
    def publish(subject: str, text: str, key: str) -> None:
        message.set(json.dumps({"subject": subject, "text": text, "key": key}))

    path = urllib.parse.urlsplit(req.url).path
    status, said = handle(path, dict(req.headers), req.get_body(), publish)
    return func.HttpResponse(said, status_code=status)
