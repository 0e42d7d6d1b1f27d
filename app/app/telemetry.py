"""Metrics, declared once. Labels are bounded: route templates, known methods, status codes.

Never labels by path, client or request id: those are unbounded.
"""

from __future__ import annotations

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)

from app import __version__
from app.settings import Settings

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Telemetry:
    """One registry per application, so that two in one process (tests) do not mix."""

    def __init__(self, settings: Settings) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self._requests = Counter(
            "app_requests_total",
            "Requests answered, by route template.",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self._duration = Histogram(
            "app_request_duration_seconds",
            "From the request's head to the last byte of its answer.",
            ("route",),
            buckets=BUCKETS_S,
            registry=self.registry,
        )
        self.in_flight = Gauge(
            "app_requests_in_flight", "Requests being answered.", registry=self.registry
        )
        self.healthy = Gauge("app_healthy", "1 while /health says ok.", registry=self.registry)
        self.notes_created = Counter(
            "app_notes_created_total", "Notes written.", registry=self.registry
        )
        self.cache = Counter(
            "app_cache_requests_total",
            "Looks into the cache: hit, miss, error, full (no connection was free), or skipped"
            " (after an error, or a deletion that Redis has not heard of yet).",
            ("result",),
            registry=self.registry,
        )
        self.dependency_up = Gauge(
            "app_dependency_up",
            "1 while /ready last found it usable.",
            ("dependency",),
            registry=self.registry,
        )
        info = Gauge(
            "app_info",
            "Always 1; the labels name this process.",
            ("cloud", "region", "instance", "version"),
            registry=self.registry,
        )
        info.labels(settings.cloud, settings.region, settings.instance, __version__).set(1)

    def settled(self, method: str, route: str, status: int, duration_s: float) -> None:
        """One request is over."""
        known = method if method in METHODS else "other"
        self._requests.labels(known, route, str(status)).inc()
        self._duration.labels(route).observe(duration_s)
