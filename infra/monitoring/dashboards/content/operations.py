"""Operations: is anything wrong now, where does traffic go, and how much room is left?"""

from __future__ import annotations

from panels import BY_PLACE, COUNT, EDGE, PLACE, line, quantile, rate, stat, table

NOW = [
    stat(
        "Regions down",
        COUNT,
        (f"count(pool:thalweg_available:ratio{{{PLACE}}} == 0) or vector(0)", ""),
        bad=1,
        alert="RegionDown",
        says="Pools of which no edge can use any endpoint. Traffic already goes elsewhere: look whether the others have room.",
    ),
    stat(
        "Endpoints not Up",
        COUNT,
        (f"count(endpoint:thalweg_available:max{{{PLACE}}} == 0) or vector(0)", ""),
        bad=1,
        alert="EndpointDown",
        says="Endpoints that no edge can use: down, ejected, drained, or not proven yet. The table at the end names them.",
    ),
    stat(
        "Edges down",
        COUNT,
        ('count(up{job="thalweg", instance=~"$edge"} == 0) or vector(0)', ""),
        bad=1,
        alert="EdgeDown",
        says="Edges that do not answer Prometheus. Clients of an address with other edges are served by those.",
    ),
    stat(
        "Routes in panic",
        COUNT,
        (f"sum(max by (route) (thalweg_panic{{{EDGE}}}))", ""),
        bad=1,
        alert="Panic",
        says="Routes of which every pool is short, so that health does not count. More often the probe is wrong than every region.",
    ),
]
USERS = [
    line(
        "Request Rate",
        "reqps",
        (rate("thalweg_requests_total", "route"), "{{route}}"),
        alert="TrafficStopped",
        says="Requests per second by route, all answers. A sudden fall without errors is in front of the edges: name, balancer, announcement.",
    ),
    line(
        "Error Rate",
        "percentunit",
        ("route:thalweg_errors:ratio_rate5m", "{{route}}"),
        bad=0.05,
        alert="HighErrorRate",
        says="Share of 5xx of five minutes, without clients that hung up. Above the line for two minutes it pages.",
    ),
    line(
        "p99 by route",
        "s",
        (quantile(0.99, "route", "thalweg_request_duration_seconds", EDGE), "{{route}}"),
        bad=1,
        alert="LatencyDegraded",
        says="What the slowest hundredth of requests takes, from first byte in to last byte out.",
    ),
    line(
        "p99 to the first byte, by pool",
        "s",
        (quantile(0.99, "pool", "thalweg_endpoint_first_byte_seconds", EDGE), "{{pool}}"),
        says="What regions take for their answer, as edges see it: compare with p99 by route to tell a slow region from a slow edge.",
    ),
]
STEERING = [
    line(
        "Who serves, by region",
        "reqps",
        (BY_PLACE, "{{cloud}} {{region}}"),
        says="Where requests are answered. After a failover one line falls and another rises at once; failback is later, by its hold.",
    ),
    line(
        "Available share of each pool",
        "percentunit",
        (f"pool:thalweg_available:ratio{{{PLACE}}}", "{{pool}}"),
        bad=0.5,
        low=True,
        alert="RegionDown",
        says="Part of a pool's endpoints that at least one edge can use. Under the line the pool is short and is skipped while another is not.",
    ),
    line(
        "Retries and hedges",
        "ops",
        (rate("thalweg_retries_total", "route, cause"), "{{route}} retry: {{cause}}"),
        (rate("thalweg_hedges_total", "route, result"), "{{route}} hedge: {{result}}"),
        alert="RetryBudgetExhausted",
        says="Second tries that users do not notice, by cause. A steady rate is an endpoint that fails for some requests only.",
    ),
    line(
        "Answers made by the edge",
        "ops",
        (rate("thalweg_refusals_total", "route, refusal"), "{{route}} {{refusal}}"),
        says="Requests that no region answered, by refusal: the same word is in the access log and in Proxy-Status.",
    ),
]
CAPACITY = [
    line(
        "Requests in flight, by pool",
        COUNT,
        (f"sum by (pool) (thalweg_endpoint_in_flight{{{EDGE}}})", "{{pool}}"),
        says="Requests that wait for a region now. It grows before latency does; compare with what the region is sized for.",
    ),
    line(
        "Autoscalers: pods of their maximum",
        "percentunit",
        (
            "kube_horizontalpodautoscaler_status_current_replicas / kube_horizontalpodautoscaler_spec_max_replicas",
            "{{namespace}} {{horizontalpodautoscaler}}",
        ),
        bad=1,
        alert="AutoscalerAtMaximum",
        says="At the line no pod can be added: a lost region's traffic would meet full pods.",
    ),
    line(
        "CPU of an edge",
        "percentunit",
        (f"rate(process_cpu_seconds_total{{{EDGE}}}[$__rate_interval])", "{{instance}}"),
        says="Cores in use by each edge: 1 is one core. The limit is the pod's, one worker per core of it.",
    ),
    line(
        "File descriptors of an edge",
        "percentunit",
        (f"process_open_fds{{{EDGE}}} / process_max_fds{{{EDGE}}}", "{{instance}}"),
        bad=0.8,
        alert="DescriptorsLow",
        says="Every client and every endpoint connection is one. At 100 % new connections are refused.",
    ),
]
DETAILS = [
    table(
        "Endpoints",
        COUNT,
        (f"sort(endpoint:thalweg_available:max{{{PLACE}}})", ""),
        columns={"cloud": "Cloud", "region": "Region", "pool": "Pool", "endpoint": "Endpoint", "Value": "State"},
        words={"0": "down", "1": "up"},
        alert="EndpointDown",
        says="Every endpoint and whether at least one edge can use it; those that are down come first.",
    ),
    table(
        "Alerts that fire",
        COUNT,
        ('ALERTS{alertstate="firing", alertname!="Watchdog"}', ""),
        columns={"severity": "Severity", "alertname": "Alert", "Value": "State"},
        words={"1": "firing"},
        says="What Prometheus tells Alertmanager now. What to do about each is in docs/monitoring.md.",
    ),
]
ROWS = [("Now", NOW), ("Users", USERS), ("Steering", STEERING), ("Capacity", CAPACITY), ("Details", DETAILS)]
