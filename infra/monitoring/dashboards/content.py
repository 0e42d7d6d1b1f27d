"""What the four dashboards show: rows of panels, by dashboard."""

from __future__ import annotations

from panels import BY_PLACE, EDGE, PLACE, Panel, line, quantile, rate, stat, table

DASHBOARDS: dict[str, tuple[str, list[list[Panel]]]] = {
    "operations": (
        "Operations",
        [
            [
                stat(
                    "Regions down",
                    "short",
                    (f"count(pool:thalweg_available:ratio{{{PLACE}}} == 0) or vector(0)", ""),
                    bad=1,
                ),
                stat(
                    "Endpoints not Up",
                    "short",
                    (f"count(endpoint:thalweg_available:max{{{PLACE}}} == 0) or vector(0)", ""),
                    bad=1,
                ),
                stat(
                    "Edges down",
                    "short",
                    ('count(up{job="thalweg", instance=~"$edge"} == 0) or vector(0)', ""),
                    bad=1,
                ),
                stat(
                    "Routes in panic",
                    "short",
                    (f"sum(max by (route) (thalweg_panic{{{EDGE}}}))", ""),
                    bad=1,
                ),
            ],
            [
                line(
                    "Request Rate", "reqps", (rate("thalweg_requests_total", "route"), "{{route}}")
                ),
                line(
                    "Error Rate",
                    "percentunit",
                    ("route:thalweg_errors:ratio_rate5m", "{{route}}"),
                    bad=0.05,
                ),
            ],
            [
                line("Who serves, by region", "reqps", (BY_PLACE, "{{cloud}} {{region}}")),
                line(
                    "Available share of each pool",
                    "percentunit",
                    (f"pool:thalweg_available:ratio{{{PLACE}}}", "{{pool}}"),
                    bad=0.5,
                    low=True,
                ),
            ],
            [
                line(
                    "p99 by route",
                    "s",
                    (
                        quantile(0.99, "route", "thalweg_request_duration_seconds", EDGE),
                        "{{route}}",
                    ),
                    bad=1,
                ),
                line(
                    "p99 to the first byte, by pool",
                    "s",
                    (
                        quantile(0.99, "pool", "thalweg_endpoint_first_byte_seconds", EDGE),
                        "{{pool}}",
                    ),
                ),
            ],
            [
                line(
                    "Retries and hedges",
                    "ops",
                    (rate("thalweg_retries_total", "route, cause"), "{{route}} retry: {{cause}}"),
                    (rate("thalweg_hedges_total", "route, result"), "{{route}} hedge: {{result}}"),
                ),
                line(
                    "Answers made by the edge",
                    "ops",
                    (rate("thalweg_refusals_total", "route, refusal"), "{{route}} {{refusal}}"),
                ),
            ],
            [
                table("Endpoints", "short", (f"endpoint:thalweg_available:max{{{PLACE}}}", "")),
                table(
                    "Alerts", "short", ('ALERTS{alertstate="firing", alertname!="Watchdog"}', "")
                ),
            ],
        ],
    ),
    "executive": (
        "Executive",
        [
            [
                stat(
                    "Good answers, 30 days",
                    "percentunit",
                    (
                        '1 - sum(increase(thalweg_requests_total{code_class="5xx"}[30d])) / sum(increase(thalweg_requests_total{code_class!="client_gone"}[30d]))',
                        "",
                    ),
                    bad=0.999,
                    low=True,
                ),
                stat(
                    "Error budget left, 30 days",
                    "percentunit",
                    (
                        '1 - (sum(increase(thalweg_requests_total{code_class="5xx"}[30d])) / sum(increase(thalweg_requests_total{code_class!="client_gone"}[30d]))) / 0.001',
                        "",
                    ),
                    bad=0,
                    low=True,
                ),
                stat("Requests today", "short", ("sum(increase(thalweg_requests_total[1d]))", "")),
                stat(
                    "Failovers, 30 days",
                    "short",
                    ("sum(increase(thalweg_failovers_total[30d])) or vector(0)", ""),
                ),
            ],
            [
                line("Requests by cloud", "reqps", (f"sum by (cloud) ({BY_PLACE})", "{{cloud}}")),
                line(
                    "Share of requests that fail",
                    "percentunit",
                    ("route:thalweg_errors:ratio_rate1h", "{{route}}"),
                    bad=0.001,
                ),
            ],
            [
                line(
                    "What users wait (median, p99)",
                    "s",
                    (
                        quantile(0.5, "route", "thalweg_request_duration_seconds", EDGE),
                        "{{route}} median",
                    ),
                    (
                        quantile(0.99, "route", "thalweg_request_duration_seconds", EDGE),
                        "{{route}} p99",
                    ),
                ),
                line(
                    "Regions available",
                    "percentunit",
                    (f"avg by (cloud) (pool:thalweg_available:ratio{{{PLACE}}})", "{{cloud}}"),
                    bad=1,
                    low=True,
                ),
            ],
        ],
    ),
    "development": (
        "Development",
        [
            [
                line(
                    "Request Rate by service",
                    "reqps",
                    (f"sum by (service) (service:app_requests:rate5m{{{PLACE}}})", "{{service}}"),
                ),
                line(
                    "Error Rate by service",
                    "percentunit",
                    (
                        f"service:app_errors:ratio_rate5m{{{PLACE}}}",
                        "{{service}} {{cloud}} {{region}}",
                    ),
                    bad=0.05,
                ),
            ],
            [
                line(
                    "p95 by route of the application",
                    "s",
                    (
                        quantile(0.95, "service, route", "app_request_duration_seconds", PLACE),
                        "{{service}} {{route}}",
                    ),
                    bad=0.5,
                ),
                line(
                    "Answers by status",
                    "reqps",
                    (
                        rate("app_requests_total", "service, status", PLACE),
                        "{{service}} {{status}}",
                    ),
                ),
            ],
            [
                line(
                    "Requests being answered",
                    "short",
                    (
                        f"sum by (service, region) (app_requests_in_flight{{{PLACE}}})",
                        "{{service}} {{region}}",
                    ),
                ),
                line(
                    "CPU of a process",
                    "percentunit",
                    (
                        f'rate(process_cpu_seconds_total{{job="fastapi", {PLACE}}}[$__rate_interval])',
                        "{{service}} {{instance}}",
                    ),
                    bad=0.8,
                ),
            ],
            [
                table(
                    "Versions",
                    "short",
                    ("count by (version) (thalweg_build_info)", ""),
                    ("count by (version) (app_info)", ""),
                ),
                line(
                    "Config generation",
                    "short",
                    (f"thalweg_config_generation{{{EDGE}}}", "{{instance}}"),
                ),
            ],
        ],
    ),
    "security": (
        "Security",
        [
            [
                stat(
                    "First certificate ends in",
                    "s",
                    ("min(thalweg_certificate_expiry_timestamp_seconds) - time()", ""),
                    bad=1209600,
                    low=True,
                ),
                stat(
                    "Log lines dropped, 1 day",
                    "short",
                    ("sum(increase(thalweg_log_dropped_total[1d]))", ""),
                    bad=1,
                ),
                stat(
                    "Edges with a refused config",
                    "short",
                    ("count(thalweg_config_last_reload_successful == 0) or vector(0)", ""),
                    bad=1,
                ),
            ],
            [
                line(
                    "Refused requests by why",
                    "reqps",
                    (rate("thalweg_refusals_total", "refusal"), "{{refusal}}"),
                ),
                line(
                    "Share of 4xx by route",
                    "percentunit",
                    (
                        f'sum by (route) (rate(thalweg_requests_total{{code_class="4xx", {EDGE}}}[$__rate_interval])) / {rate("thalweg_requests_total", "route")}',
                        "{{route}}",
                    ),
                ),
            ],
            [
                line(
                    "Client connections",
                    "short",
                    (f"sum by (listener) (thalweg_connections{{{EDGE}}})", "{{listener}}"),
                ),
                line(
                    "File descriptors",
                    "percentunit",
                    (f"process_open_fds{{{EDGE}}} / process_max_fds{{{EDGE}}}", "{{instance}}"),
                    bad=0.8,
                ),
            ],
            [
                table(
                    "Certificates",
                    "dateTimeFromNow",
                    (
                        "min by (listener, name) (thalweg_certificate_expiry_timestamp_seconds) * 1000",
                        "",
                    ),
                )
            ],
        ],
    ),
}
