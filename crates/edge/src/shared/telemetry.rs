//! Every metric that exists, declared once: name, kind, labels, meaning. Label values are configured names only.
//! Counting happens elsewhere: in `meters.rs` and in the control thread's recorder.

/// The Prometheus type of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MetricKind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Fixed buckets, [`SECONDS`].
    Histogram,
}

/// One declared metric.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Metric {
    /// The full name.
    pub name: &'static str,
    /// Its Prometheus type.
    pub kind: MetricKind,
    /// Label names, in the order of a series' values.
    pub labels: &'static [&'static str],
    /// One line for the operator.
    pub help: &'static str,
}

/// Upper bounds of histogram buckets, seconds: from a connection inside a rack to a slow page.
pub const SECONDS: [f64; 16] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

macro_rules! metrics {
    ($($id:ident = $kind:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        $(#[doc = $help] pub static $id: Metric =
            Metric { name: $name, kind: MetricKind::$kind, labels: &[$($label),*], help: $help };)*
        /// All declared metrics.
        pub static ALL: &[&Metric] = &[$(&$id),*];
    };
}

metrics! {
    REQUESTS = Counter "thalweg_requests_total" ["listener", "route", "pool", "code_class"]
        "Requests by the class of the answer, or client_gone.";
    DURATION = Histogram "thalweg_request_duration_seconds" ["route"]
        "From the end of a request's head to the last byte of its answer.";
    ENDPOINT_REQUESTS = Counter "thalweg_endpoint_requests_total" ["pool", "endpoint", "outcome"]
        "Attempts by how they ended.";
    FIRST_BYTE = Histogram "thalweg_endpoint_first_byte_seconds" ["pool"]
        "From an attempt's start to the head of its answer.";
    AVAILABLE = Gauge "thalweg_endpoint_available" ["pool", "endpoint"]
        "1 = Up, 0 = anything else.";
    IN_FLIGHT = Gauge "thalweg_endpoint_in_flight" ["pool", "endpoint"]
        "Requests under way, upgraded streams included.";
    STREAMS = Gauge "thalweg_endpoint_streams" ["pool", "endpoint"]
        "Upgraded streams and event streams that are open.";
    PROBES = Counter "thalweg_probes_total" ["pool", "endpoint", "result"]
        "Probes by result.";
    POOL_INFO = Gauge "thalweg_pool_info" ["pool", "region", "cloud"]
        "Always 1: where a pool is.";
    POOL_CAPACITY = Gauge "thalweg_pool_capacity" ["pool"]
        "Requests per second that a pool declares; pools that declare none are left out.";
    QUEUE_LENGTH = Gauge "thalweg_queue_length" ["pool"]
        "Requests that wait while every endpoint of a pool is at max_in_flight.";
    QUEUE_WAITS = Counter "thalweg_queue_waits_total" ["pool", "result"]
        "Waits in a pool's queue by how they ended; full = there was no place.";
    QUEUE_SECONDS = Histogram "thalweg_queue_wait_seconds" ["pool"]
        "From a request's arrival in a pool's queue until it got an endpoint.";
    DECISIONS = Counter "thalweg_decisions_total" ["route", "pool", "reason"]
        "Steering decisions, retries included.";
    REFUSALS = Counter "thalweg_refusals_total" ["route", "refusal"]
        "Requests that this edge answered itself, by why.";
    FAILOVERS = Counter "thalweg_failovers_total" ["route", "from", "to"]
        "TimeCounts that traffic left a pool because it was down.";
    PANIC = Gauge "thalweg_panic" ["route"]
        "1 while health does not count on a route.";
    RETRIES = Counter "thalweg_retries_total" ["route", "cause"]
        "Retries by what caused them.";
    HEDGES = Counter "thalweg_hedges_total" ["route", "result"]
        "Hedged attempts by result.";
    BUDGET_EXHAUSTED = Counter "thalweg_retry_budget_exhausted_total" ["route"]
        "Retries that the budget forbade.";
    EJECTIONS = Counter "thalweg_ejections_total" ["pool", "endpoint", "cause"]
        "Ejections by cause.";
    INCIDENTS = Counter "thalweg_incidents_total" ["pool", "scope", "cause"]
        "Failures that took an endpoint, a pool or a region out, when they are over.";
    DETECTION = Histogram "thalweg_incident_detection_seconds" ["pool"]
        "From the first failed request or probe of an incident until its endpoint was taken out.";
    LAST_BAD = Histogram "thalweg_incident_last_bad_seconds" ["pool"]
        "From the first failed request or probe of an incident to the last request that failed there.";
    CHECKER_SUSPECTED = Gauge "thalweg_checker_suspected" []
        "1 while most endpoints fail their probes at once: the checker is the first suspect.";
    DAMPED = Gauge "thalweg_damped" ["route", "pool"]
        "1 while a pool that flaps is left alone on a route.";
    ENDPOINT_DAMPED = Gauge "thalweg_endpoint_damped" ["pool", "endpoint"]
        "1 while an endpoint that flaps steps back behind the others of its pool.";
    ORDERS = Gauge "thalweg_orders" ["kind"]
        "Orders of the operator that stand.";
    CONNECTIONS = Gauge "thalweg_connections" ["listener"]
        "Client connections.";
    SHED = Counter "thalweg_connections_shed_total" ["listener", "cause"]
        "Client connections closed to make room (headless, idle), over the cap of their client (per_client), with a body slower than body_min_rate, for a flood of frames or resets (http2_flood, http3_flood), or because too many QUIC handshakes were under way (handshakes).";
    TLS_FAILURES = Counter "thalweg_tls_handshake_failures_total" ["listener", "reason"]
        "TLS handshakes with clients that failed, by why.";
    UPSTREAM = Gauge "thalweg_upstream_connections" ["pool", "state"]
        "Connections to endpoints, idle or active.";
    CERTIFICATE_NOT_BEFORE = Gauge "thalweg_certificate_not_before_timestamp_seconds" ["listener", "name"]
        "When a certificate in use begins, Unix time: with the expiry, how long it lives.";
    CERTIFICATE_EXPIRY = Gauge "thalweg_certificate_expiry_timestamp_seconds" ["listener", "name"]
        "When a certificate in use ends, Unix time.";
    GENERATION = Gauge "thalweg_config_generation" []
        "Number of the config in force.";
    ON_TRIAL = Gauge "thalweg_config_on_trial" []
        "1 while the config in force is on trial: it is taken back unless someone confirms it.";
    RELOADS = Counter "thalweg_config_reloads_total" ["result"]
        "Reloads by result.";
    LAST_RELOAD_OK = Gauge "thalweg_config_last_reload_successful" []
        "1 if the last reload was applied or changed nothing.";
    LAST_RELOAD_TIME = Gauge "thalweg_config_last_reload_success_timestamp_seconds" []
        "When a reload last succeeded, Unix time.";
    ANNOUNCED = Gauge "thalweg_announced" ["protocol"]
        "1 while BIRD announces a protocol's route as wanted: a BGP session exports it and is Established for 10 s.";
    LOG_DROPPED = Counter "thalweg_log_dropped_total" []
        "Access log lines that were dropped: their reader was too slow, or they could not be written.";
    TASK_RESTARTS = Counter "thalweg_task_restarts_total" ["task"]
        "Control tasks that ended and were restarted.";
    STREAMS_DROPPED = Counter "thalweg_admin_streams_dropped_total" []
        "Live streams of the admin server that were ended because their client did not read.";
    NOTIFICATIONS = Counter "thalweg_notifications_total" ["result"]
        "State changes told to the webhook (sent) or given up (dropped), and calls that did not arrive (failed).";
    FLEET_CONNECTED = Gauge "thalweg_fleet_connected" []
        "1 while a server of the fleet is connected.";
    FLEET_AGE = Gauge "thalweg_fleet_config_age_seconds" []
        "Time since the fleet's keys were last read, also when nothing had changed.";
    FLEET_BUNDLE = Gauge "thalweg_fleet_bundle" []
        "Number of the fleet's bundle in force; 0 = none.";
    FLEET_REFUSED = Counter "thalweg_fleet_bundles_refused_total" ["reason"]
        "Bundles that did not come into force, or were taken back.";
    FLEET_EDGES = Gauge "thalweg_fleet_neighbours" []
        "Other edges of the fleet that were heard in the last 30 s.";
    FLEET_WORDS = Counter "thalweg_fleet_words_total" ["result"]
        "Messages about what edges see: taken, or left aside (own, name_taken, replayed, malformed, flood).";
    FLEET_PROBES = Counter "thalweg_fleet_extra_probes_total" []
        "Probes that another edge's word has brought forward.";
    FLEET_ORDERS = Gauge "thalweg_fleet_orders" ["state"]
        "Orders of the fleet that this edge obeys (obeyed) or not (refused).";
    DNS_QUERIES = Counter "thalweg_dns_queries_total" ["transport", "result"]
        "DNS queries by what became of them: answer, no_data, nx_domain, refused, truncated, malformed, not_implemented, bad_version, not_ready, rate_limited, unasked.";
    DNS_ANSWERS = Counter "thalweg_dns_answers_total" ["name", "pool"]
        "DNS answers with addresses, by the pool that they name; - = every pool, in panic, or the name's own addresses.";
    DNS_LISTENING = Gauge "thalweg_dns_listening" ["address"]
        "1 while DNS queries are answered at an address, 0 while it cannot be bound.";
    TRACES = Counter "thalweg_traces_total" ["result"]
        "Requests whose traces the collector has taken (sent) or not (dropped), and calls that did not arrive (failed).";
    BUILD_INFO = Gauge "thalweg_build_info" ["version"]
        "Always 1.";
}
