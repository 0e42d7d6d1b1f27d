"""OpenTelemetry, where it is asked for: `OTEL_EXPORTER_OTLP_ENDPOINT` is set, and what
requirements-otel.txt names is installed.

Without either, nothing is imported and nothing is slower.
"""

from __future__ import annotations

import logging
import os

from fastapi import FastAPI

from app import __version__
from app.logs import event
from app.settings import Settings

UNTRACED = "alive,health,metrics,ready"


def trace(app: FastAPI, settings: Settings) -> bool:
    """Whether requests are traced from now on."""
    if not os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "").strip():
        return False
    try:
        from opentelemetry import trace as api
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        event(logging.WARNING, "not traced", missing=error.name, install="requirements-otel.txt")
        return False
    who = {
        "service.name": "thalweg-app",
        "service.version": __version__,
        "service.instance.id": settings.instance,
        "cloud.provider": settings.cloud,
        "cloud.region": settings.region,
    }
    provider = TracerProvider(resource=Resource.create(who))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    api.set_tracer_provider(provider)
    FastAPIInstrumentor.instrument_app(app, tracer_provider=provider, excluded_urls=UNTRACED)
    event(logging.INFO, "traced", to="OTLP")
    return True
