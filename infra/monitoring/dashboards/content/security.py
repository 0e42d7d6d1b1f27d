"""Security: what ends soon, what is refused, who connects?"""

from __future__ import annotations

from panels import COUNT, EDGE, line, rate, stat, table

STATE = [
    stat(
        "Least life left of a certificate",
        "percentunit",
        ("min(certificate:thalweg_left:ratio)", ""),
        bad=0.25,
        low=True,
        alert="CertificateExpiresSoon",
        says="Of all certificates in use, the one with the smallest share of its life left. Renewal is due with a third left.",
    ),
    stat(
        "Log lines dropped, 1 day",
        COUNT,
        ("round(sum(increase(thalweg_log_dropped_total[1d])))", ""),
        bad=1,
        alert="LogLinesDropped",
        says="Holes in the record of requests: the collector was too slow or gone.",
    ),
    stat(
        "Edges with a refused config",
        COUNT,
        ("count(thalweg_config_last_reload_successful == 0) or vector(0)", ""),
        bad=1,
        alert="ReloadRejected",
        says="They serve on with the config before. A restart would not come up.",
    ),
    stat(
        "Secrets that cannot be read",
        COUNT,
        ('count(externalsecret_status_condition{condition="Ready", status="False"} == 1) or vector(0)', ""),
        bad=1,
        alert="SecretNotReady",
        says="What runs keeps its value; what is new does not start.",
    ),
]
REFUSED = [
    line(
        "Refused requests by why",
        "reqps",
        (rate("thalweg_refusals_total", "refusal"), "{{refusal}}"),
        says="Answers that edges made themselves. Many bad_request or headers_too_large from few clients is somebody who tries.",
    ),
    line(
        "Share of 4xx by route",
        "percentunit",
        (
            f'sum by (route) (rate(thalweg_requests_total{{code_class="4xx", {EDGE}}}[$__rate_interval]))'
            f' / {rate("thalweg_requests_total", "route")}',
            "{{route}}",
        ),
        says="Requests that the application or the edge calls wrong. A rise after a release is a client that was forgotten.",
    ),
    line(
        "Client connections",
        COUNT,
        (f"sum by (listener) (thalweg_connections{{{EDGE}}})", "{{listener}}"),
        alert="DescriptorsLow",
        says="Open connections by listener. Many without requests is a flood of silent clients.",
    ),
]
CERTIFICATES = [
    table(
        "Certificates",
        "dateTimeFromNow",
        ("sort(min by (listener, name) (thalweg_certificate_expiry_timestamp_seconds) * 1000)", ""),
        columns={"listener": "Listener", "name": "Name", "Value": "Ends"},
        alert="CertificateExpiresNow",
        says="Every certificate that an edge has loaded; the first to end comes first.",
    )
]
ROWS = [("State", STATE), ("Refused", REFUSED), ("Certificates", CERTIFICATES)]
