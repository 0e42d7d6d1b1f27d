"""Executive: is the promise kept, how much is used, by which cloud?"""

from __future__ import annotations

from panels import BY_PLACE, COUNT, EDGE, PLACE, line, quantile, stat

BAD = 'sum(increase(thalweg_requests_total{code_class="5xx"}[30d]))'
ALL = 'sum(increase(thalweg_requests_total{code_class!="client_gone"}[30d]))'
PROMISE = [
    stat(
        "Good answers, 30 days",
        "percentunit",
        (f"1 - ({BAD} or vector(0)) / {ALL}", ""),
        bad=0.999,
        low=True,
        alert="ErrorBudgetBurns",
        says="Share of requests that did not end as 5xx. The promise is 99.9 %.",
    ),
    stat(
        "Error budget left, 30 days",
        "percentunit",
        (f"1 - (({BAD} or vector(0)) / {ALL}) / 0.001", ""),
        bad=0,
        low=True,
        alert="ErrorBudgetRunsOut",
        says="What is left of the failures that the promise allows. Below 0 reliability comes before features.",
    ),
    stat(
        "Requests, 1 day",
        COUNT,
        ("sum(increase(thalweg_requests_total[1d]))", ""),
        says="Requests of the last 24 hours over all edges and routes.",
    ),
    stat(
        "Failovers, 30 days",
        COUNT,
        ("round(sum(increase(thalweg_failovers_total[30d]))) or vector(0)", ""),
        alert="FailoverHappened",
        says="How often traffic left a region because it was down. Users were served by another one.",
    ),
]
USE = [
    line(
        "Requests by cloud",
        "reqps",
        (f"sum by (cloud) ({BY_PLACE})", "{{cloud}}"),
        says="Which cloud answers how much: the basis of what each costs.",
    ),
    line(
        "Share of requests that fail",
        "percentunit",
        ("route:thalweg_errors:ratio_rate1h", "{{route}}"),
        bad=0.001,
        alert="ErrorBudgetBurnsSlowly",
        says="Of the last hour, by route. Above the line the month's budget shrinks faster than it may.",
    ),
    line(
        "What users wait (median, p99)",
        "s",
        (quantile(0.5, "route", "thalweg_request_duration_seconds", EDGE), "{{route}} median"),
        (quantile(0.99, "route", "thalweg_request_duration_seconds", EDGE), "{{route}} p99"),
        bad=1,
        says="Half of all requests are faster than the median; one in a hundred is slower than p99.",
    ),
    line(
        "Regions available",
        "percentunit",
        (f"avg by (cloud) (pool:thalweg_available:ratio{{{PLACE}}})", "{{cloud}}"),
        bad=1,
        low=True,
        alert="RegionDown",
        says="Part of each cloud's regions that can serve.",
    ),
]
ROWS = [("The promise", PROMISE), ("Use", USE)]
