"""Development: what do the services do, which version runs, and what does a release change?"""

from __future__ import annotations

from panels import COUNT, EDGE, PLACE, line, quantile, rate, table

SERVICES = [
    line(
        "Request Rate by service",
        "reqps",
        (f"sum by (service) (service:app_requests:rate5m{{{PLACE}}})", "{{service}}"),
        says="Users' requests per second, counted in the service: probes and scrapes are left out.",
    ),
    line(
        "Error Rate by service",
        "percentunit",
        (f"service:app_errors:ratio_rate5m{{{PLACE}}}", "{{service}} {{cloud}} {{region}}"),
        bad=0.05,
        alert="ServiceErrorRate",
        says="Share of 5xx among users' answers. The edge retries what it may, so users see less of it.",
    ),
    line(
        "p95 by route of the application",
        "s",
        (quantile(0.95, "service, route", "app_request_duration_seconds", PLACE), "{{service}} {{route}}"),
        bad=0.5,
        alert="ServiceLatencyDegraded",
        says="Measured inside the service: neither the network nor the edge.",
    ),
    line(
        "Answers by status",
        "reqps",
        (rate("app_requests_total", "service, status", PLACE), "{{service}} {{status}}"),
        says="Every answer of the services by status, those to probes and scrapes too.",
    ),
]
PROCESSES = [
    line(
        "Requests being answered",
        COUNT,
        (f"sum by (service, region) (app_requests_in_flight{{{PLACE}}})", "{{service}} {{region}}"),
        says="Requests that are in a service now. It grows without an end when a store hangs.",
    ),
    line(
        "CPU of a process",
        "percentunit",
        (f'rate(process_cpu_seconds_total{{job="fastapi", {PLACE}}}[$__rate_interval])', "{{service}} {{instance}}"),
        bad=0.8,
        says="Of one core, which is all that a process of the application uses.",
    ),
]
VERSIONS = [
    table(
        "Versions",
        COUNT,
        ('count by (version, service) (label_replace(thalweg_build_info, "service", "edge", "", ""))', ""),
        ("count by (version, service) (app_info)", ""),
        columns={"service": "Service", "version": "Version", "Value #A": "Edges", "Value #B": "Instances"},
        says="How many of each version run. Two versions of one thing for long: a release that stopped half-way.",
    ),
    line(
        "Config generation",
        COUNT,
        (f"thalweg_config_generation{{{EDGE}}}", "{{instance}}"),
        alert="ReloadRejected",
        says="Number of the config in force at each edge. An edge that stays behind refused the new one.",
    ),
]
ROWS = [("Services", SERVICES), ("Processes", PROCESSES), ("Versions", VERSIONS)]
