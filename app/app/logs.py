"""Events as one JSON object a line, on stderr, with the id of the request they belong to.

No line per request: the edge writes those.
"""

from __future__ import annotations

import json
import logging
from contextvars import ContextVar
from datetime import UTC, datetime

log = logging.getLogger("app")
# The id of the request that is being answered; None outside of a request.
request_id: ContextVar[str | None] = ContextVar("request_id", default=None)


def event(level: int, name: str, **fields: object) -> None:
    """A lower-case event and its fields; the level says whether an operator must act."""
    log.log(level, name, extra={"fields": fields})


def configure() -> None:
    """Takes over the root logger and the server's own; silences the one that logs each request."""
    stream = logging.StreamHandler()
    stream.setFormatter(JsonLines())
    logging.basicConfig(handlers=[stream], level=logging.INFO, force=True)
    for name in ("uvicorn", "uvicorn.error"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    logging.getLogger("uvicorn.access").handlers.clear()
    logging.getLogger("uvicorn.access").propagate = False


class JsonLines(logging.Formatter):
    """`ts, level, event` and the fields; an exception as one string."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
        }
        if request_id.get() is not None:
            line["request_id"] = request_id.get()
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)
