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
# The end of the process waits this long for a collector that does not answer.
FLUSH_S = 3.0

End = Callable[[], Awaitable[None]]


def trace(app: FastAPI, settings: Settings) -> End | None:
    """Traces requests from now on; the result sends the last spans. None: tracing is off."""
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
        # The server ends by a signal, and then no atexit runs. A thread of its own, because
        # the loop waits for its own threads without a bound.
        sending = threading.Thread(target=provider.shutdown, daemon=True)
        sending.start()
        await asyncio.to_thread(sending.join, FLUSH_S)

    return end
