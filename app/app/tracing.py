"""OpenTelemetry, where it is asked for: `OTEL_EXPORTER_OTLP_ENDPOINT` is set, and what
requirements-otel.txt names is installed.

Without either, nothing is imported and nothing is slower.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Awaitable, Callable

from fastapi import FastAPI

from app import __version__
from app.logs import event
from app.settings import Settings

UNTRACED = "alive,health,metrics,ready"
# A collector that does not answer holds up the end this long.
FLUSH_S = 3.0

End = Callable[[], Awaitable[None]]


def trace(app: FastAPI, settings: Settings) -> End | None:
    """Traces requests from now on; what it returns sends the last spans. None: it does not."""
    if not os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "").strip():
        return None
    try:
        from opentelemetry import trace as api
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        event(logging.WARNING, "not traced", missing=error.name, install="requirements-otel.txt")
        return None
    who = {
        "service.name": "thalweg-app",
        "service.version": __version__,
        "service.instance.id": settings.instance,
        "cloud.provider": settings.cloud,
        "cloud.region": settings.region,
    }
    # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win over what is said here.
    resource = Resource.create(who).merge(OTELResourceDetector().detect())
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    api.set_tracer_provider(provider)
    FastAPIInstrumentor.instrument_app(app, tracer_provider=provider, excluded_urls=UNTRACED)
    event(logging.INFO, "traced", to="OTLP")

    async def end() -> None:
        # The server ends by a signal, after which no atexit runs. A thread of its own: one of the
        # loop's would be waited for without a bound.
        sending = threading.Thread(target=provider.shutdown, daemon=True)
        sending.start()
        await asyncio.to_thread(sending.join, FLUSH_S)

    return end
