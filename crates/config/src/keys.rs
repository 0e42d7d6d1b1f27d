//! Every key of the file: name, kind, bounds, default, meaning. The single source of the reader, the schema
//! and the reference in docs/configuration.md. Never refers to code that acts on a key.

use crate::{
    table::{
        DAY, Default as D, KIB, Kind, MIB, SECOND, Shape, TIB, boolean, choice, int, list, num, size, table,
        text, time,
    },
    text::Text,
};

/// Most pools, and most of many other things.
pub(crate) const MANY: usize = 10_000;
/// Most endpoints over all pools.
pub(crate) const MAX_ENDPOINTS: usize = 100_000;
/// Largest weight.
const WEIGHT: (u64, u64) = (0, 65_535);

/// The whole file.
pub(crate) const ROOT: Shape = Shape {
    title: "(top of the file)",
    doc: "Which version of this format the file is written in, and which other files belong to it.",
    keys: &[
        int(
            "version",
            (1, 1),
            D::Absent("mandatory in the main file"),
            "Version of the format; mandatory in the main file.",
        ),
        list(
            "include",
            Kind::List { of: &Kind::Text(Text::Include), min: 0, max: 64 },
            D::Texts(&[]),
            "More files, relative to the main file, `*` and `?` in the last part of a path; sorted by name per entry; one level; at most 64 files.",
        ),
        table("edge", &EDGE, D::Table, "Who this edge is, and how it starts and stops."),
        table("admin", &ADMIN, D::Table, "The operator's door."),
        table("resolver", &RESOLVER, D::Table, "How names become addresses."),
        list(
            "listener",
            Kind::List { of: &Kind::Table(&LISTENER), min: 1, max: 256 },
            D::Absent("at least one over all files"),
            "An address that accepts clients.",
        ),
        list(
            "probe",
            Kind::Map { keys: Text::Name, of: &Kind::Table(&PROBE), max: MANY },
            D::Absent("none"),
            "An active check, used by pools.",
        ),
        list(
            "pool",
            Kind::Map { keys: Text::Name, of: &Kind::Table(&POOL), max: MANY },
            D::Absent("at least one over all files"),
            "Interchangeable endpoints in one region of one cloud.",
        ),
        list(
            "route",
            Kind::Map { keys: Text::Name, of: &Kind::Table(&ROUTE), max: MANY },
            D::Absent("at least one over all files"),
            "Host and path to pools, and how they share.",
        ),
        table("eject", &EJECT, D::Table, "Removal of an endpoint by passive evidence."),
        table("limits", &LIMITS, D::Table, "Bounds on clients."),
        table("log", &LOG, D::Table, "What is written to the standard output."),
    ],
};

pub(crate) const EDGE: Shape = Shape {
    title: "[edge]",
    doc: "Who this edge is, and how it starts and stops.",
    keys: &[
        text(
            "name",
            Text::Label,
            D::Absent("the host name"),
            "Name of this edge, in logs, `Via` and status.",
        ),
        text("region", Text::Label, D::Absent("empty"), "Where this edge is; free text."),
        text("cloud", Text::Label, D::Absent("empty"), "Who runs the place; free text."),
        int(
            "workers",
            (0, 1_024),
            D::Int(0),
            "Threads that serve; 0 = one per core this process may use (affinity, cgroup quota). A change waits for a restart.",
        ),
        time(
            "drain_delay",
            (0, DAY),
            "0s",
            "After SIGTERM: readiness off, wait this long, then stop accepting.",
        ),
        time(
            "drain_timeout",
            (0, DAY),
            "25s",
            "Then idle connections are closed at once and in-flight requests have this long.",
        ),
    ],
};

pub(crate) const ADMIN: Shape = Shape {
    title: "[admin]",
    doc: "The operator's door.",
    keys: &[
        text(
            "bind",
            Text::Socket,
            D::Text("127.0.0.1:9900"),
            "Where the admin API listens. A change waits for a restart.",
        ),
        text(
            "token_file",
            Text::File,
            D::Absent("POST only from loopback"),
            "File that holds the bearer token for POST, read at load.",
        ),
    ],
};

pub(crate) const RESOLVER: Shape = Shape {
    title: "[resolver]",
    doc: "How names become addresses.",
    keys: &[
        list(
            "nameservers",
            Kind::List { of: &Kind::Text(Text::Nameserver), min: 0, max: 16 },
            D::Texts(&[]),
            "IP addresses, port 53 unless given; empty = the system's.",
        ),
        time("ttl_min", (0, DAY), "1s", "Floor under the TTL of an answer."),
        time("ttl_max", (SECOND, DAY), "5m", "Ceiling over the TTL of an answer."),
        int("max_addresses", (1, 1_024), D::Int(64), "Addresses kept per name."),
    ],
};

pub(crate) const LISTENER: Shape = Shape {
    title: "[[listener]]",
    doc: "An address that accepts clients. Names and addresses are unique.",
    keys: &[
        text("name", Text::Name, D::Required, "Name in logs and metrics."),
        text(
            "bind",
            Text::Socket,
            D::Required,
            "IP address and port; \"[::]:80\" serves both families unless another listener holds 0.0.0.0:80.",
        ),
        list(
            "protocols",
            Kind::List { of: &Kind::Choice(&["http/1.1", "h2", "h2c"]), min: 1, max: 3 },
            D::Absent("[\"http/1.1\"]; with TLS [\"h2\", \"http/1.1\"]"),
            "Plain: \"http/1.1\" and, only if named, \"h2c\". With TLS: \"h2\" and \"http/1.1\".",
        ),
        table("tls", &LISTENER_TLS, D::Absent("plaintext"), "TLS towards clients."),
    ],
};

pub(crate) const LISTENER_TLS: Shape = Shape {
    title: "[listener.tls]",
    doc: "TLS towards clients.",
    keys: &[
        list(
            "certificates",
            Kind::List { of: &Kind::Table(&CERTIFICATE), min: 1, max: 1_000 },
            D::Required,
            "Chosen by SNI; the first is the default.",
        ),
        choice("min_version", &["1.2", "1.3"], D::Text("1.2"), "Lowest version that is accepted."),
    ],
};

pub(crate) const CERTIFICATE: Shape = Shape {
    title: "[listener.tls] certificates",
    doc: "A certificate chain and its key.",
    keys: &[
        text("cert", Text::File, D::Required, "PEM chain, leaf first."),
        text("key", Text::File, D::Required, "PEM key."),
    ],
};

pub(crate) const PROBE: Shape = Shape {
    title: "[probe.NAME]",
    doc: "An active check, used by the pools that name it.",
    keys: &[
        text("path", Text::Target, D::Text("/health"), "Path and query that are asked for."),
        choice("method", &["GET", "HEAD", "OPTIONS", "POST"], D::Text("GET"), "Method of the request."),
        time(
            "interval",
            (10, DAY),
            "1s",
            "Gap between probes while steady, ±10 % jitter; the first round runs at once.",
        ),
        time("timeout", (1, DAY), "300ms", "Longest wait for an answer."),
        time(
            "confirm",
            (1, DAY),
            "100ms",
            "Gap to the next probe while a change is being confirmed, and after a real failure.",
        ),
        int("rise", (1, 1_000), D::Int(2), "Successes in a row that make an endpoint Healthy."),
        int("fall", (1, 1_000), D::Int(2), "Failures in a row that make an endpoint Unhealthy."),
        list(
            "expect_status",
            Kind::List { of: &Kind::Text(Text::Codes), min: 1, max: 64 },
            D::Texts(&["200"]),
            "Accepted codes: \"204\", classes \"2xx\", ranges \"200-299\".",
        ),
        list(
            "expect_json",
            Kind::Map { keys: Text::Member, of: &Kind::Scalars, max: 64 },
            D::Absent("the body is not read"),
            "Top-level members of a JSON body and the value, or list of values, that each must have.",
        ),
        text("host", Text::Authority, D::Absent("the pool's, else the endpoint's address"), "Host header."),
        int("port", (1, 65_535), D::Absent("the traffic's"), "Port."),
        list(
            "headers",
            Kind::Map { keys: Text::HeaderName, of: &Kind::Text(Text::HeaderValue), max: 64 },
            D::Absent("none"),
            "Extra headers.",
        ),
    ],
};

pub(crate) const POOL: Shape = Shape {
    title: "[pool.NAME]",
    doc: "Interchangeable endpoints in one region of one cloud.",
    keys: &[
        text("cloud", Text::Label, D::Absent("empty"), "Who runs the place; free text."),
        text("region", Text::Label, D::Absent("empty"), "Where it is; free text."),
        text("probe", Text::Name, D::Absent("its endpoints count as Healthy"), "Name of the probe."),
        list(
            "endpoints",
            Kind::List { of: &Kind::Table(&ENDPOINT), min: 1, max: MANY },
            D::Required,
            "Where requests go; at most 100,000 over all pools.",
        ),
        int("max_in_flight", (0, 1_000_000), D::Int(0), "Requests in flight per endpoint; 0 = no cap."),
        table("keepalive", &KEEPALIVE, D::Table, "Idle connections to endpoints."),
        text(
            "host",
            Text::Authority,
            D::Absent("the client's Host passes unchanged"),
            "Host header towards the endpoints.",
        ),
        table("eject", &EJECT, D::Absent("as [eject]"), "Overrides of `[eject]` for this pool."),
    ],
};

pub(crate) const ENDPOINT: Shape = Shape {
    title: "[pool.NAME] endpoints",
    doc: "One address, or one name that may resolve to many.",
    keys: &[
        text(
            "address",
            Text::Address,
            D::Required,
            "\"10.0.0.1:8000\", \"[2001:db8::1]:8000\" or \"name.example.com:443\"; the port is mandatory.",
        ),
        int(
            "weight",
            WEIGHT,
            D::Int(1),
            "Share inside the pool; each resolved address has it; 0 = only when the pool has nothing else.",
        ),
        table(
            "tls",
            &ENDPOINT_TLS,
            D::Absent("plaintext"),
            "TLS towards the endpoint; `{}` for all defaults.",
        ),
    ],
};

pub(crate) const ENDPOINT_TLS: Shape = Shape {
    title: "[pool.NAME] endpoints tls",
    doc: "TLS towards the endpoint.",
    keys: &[
        text(
            "sni",
            Text::Server,
            D::Absent("the host of `address`"),
            "Server name that is sent and verified.",
        ),
        boolean("verify", true, "Verify the certificate."),
        text(
            "ca",
            Text::File,
            D::Absent("the system's roots"),
            "PEM bundle of the authorities that are trusted instead of the system's.",
        ),
    ],
};

pub(crate) const KEEPALIVE: Shape = Shape {
    title: "[pool.NAME] keepalive",
    doc: "Idle connections, per worker and endpoint.",
    keys: &[
        time("idle", (1, DAY), "4s", "Longest idle time; stays under the endpoint's own (uvicorn: 5 s)."),
        int("max_idle", (0, 65_536), D::Int(64), "Most idle connections; 0 = none is kept."),
        time("age", (1, DAY), "10m", "Longest life of a connection."),
    ],
};

pub(crate) const ROUTE: Shape = Shape {
    title: "[route.NAME]",
    doc: "Host and path to pools, and how they share.",
    keys: &[
        list(
            "hosts",
            Kind::List { of: &Kind::Text(Text::HostPattern), min: 1, max: MANY },
            D::Absent("any host"),
            "Host names, case-insensitive; \"*.example.com\" = one or more labels in front.",
        ),
        text(
            "path_prefix",
            Text::Prefix,
            D::Text("/"),
            "Whole segments: \"/api\" matches /api and /api/x, not /apix.",
        ),
        choice("policy", &["failover", "weighted", "latency"], D::Required, "How the pools share."),
        list(
            "pools",
            Kind::List { of: &Kind::Table(&ROUTE_POOL), min: 1, max: MANY },
            D::Required,
            "The pools, each at most once.",
        ),
        table("latency", &LATENCY, D::Table, "When pools count as equally near (policy \"latency\")."),
        table("timeouts", &TIMEOUTS, D::Table, "Bounds on the stages of a request."),
        table("retry", &RETRY, D::Table, "When another attempt may be made."),
        table("failback", &FAILBACK, D::Table, "The return to a pool that was left because it was down."),
        table("affinity", &AFFINITY, D::Table, "Keeping a client on an endpoint."),
        num("overprovision", (1.0, 100.0), 1.4, "A pool takes min(1, available share × this) of its share."),
        size("body_bytes", (0, TIB), "10MiB", "Longest upload; \"0\" = no limit."),
    ],
};

pub(crate) const ROUTE_POOL: Shape = Shape {
    title: "[route.NAME] pools",
    doc: "A pool as this route uses it.",
    keys: &[
        text("pool", Text::Name, D::Required, "Name of the pool."),
        int(
            "weight",
            WEIGHT,
            D::Int(1),
            "Share among the pools of its tier; 0 = only when nothing else is left.",
        ),
        int("dial", (0, 100), D::Int(100), "Percent of its share that the pool takes."),
        int(
            "tier",
            (0, 65_535),
            D::Absent("failover: position in the list, from 0; else 0"),
            "Failover rank; lower first.",
        ),
    ],
};

pub(crate) const LATENCY: Shape = Shape {
    title: "[route.NAME] latency",
    doc: "When pools count as equally near.",
    keys: &[
        time("band", (0, 3_600 * SECOND), "10ms", "Pools within this much of the best share by weight."),
        num("hysteresis", (0.0, 1.0), 0.10, "How much better (0–1) a change must be to be made."),
        time("dwell", (0, DAY), "2s", "How long a change must hold before it is made."),
    ],
};

pub(crate) const TIMEOUTS: Shape = Shape {
    title: "[route.NAME] timeouts",
    doc: "Bounds on the stages of a request.",
    keys: &[
        time("connect", (1, DAY), "1s", "TCP (and TLS) connection to an endpoint."),
        time(
            "first_byte",
            (1, DAY),
            "15s",
            "From the request's last byte sent to the first byte of the answer.",
        ),
        time("idle", (1, DAY), "60s", "Silence in both directions while bodies or an upgraded stream flow."),
        time("total", (1, DAY), "60s", "All attempts up to the response head, from the end of the request."),
    ],
};

pub(crate) const RETRY: Shape = Shape {
    title: "[route.NAME] retry",
    doc: "When another attempt may be made.",
    keys: &[
        int("attempts", (0, 10), D::Int(2), "Tries after the first."),
        list(
            "on",
            Kind::List { of: &Kind::Choice(&["connect", "reset", "5xx"]), min: 0, max: 3 },
            D::Texts(&["connect", "reset", "5xx"]),
            "Causes; reset and 5xx only for GET HEAD OPTIONS PUT DELETE.",
        ),
        num("budget", (0.0, 1.0), 0.10, "Retries ÷ requests of the last 10 s, plus 10/s."),
        size("buffer", (0, 64 * MIB), "64KiB", "Bytes of an upload that are kept for a replay."),
        boolean("hedge", false, "Race a second request against a late one.").not_yet(),
    ],
};

pub(crate) const FAILBACK: Shape = Shape {
    title: "[route.NAME] failback",
    doc: "The return to a pool that was left because it was down.",
    keys: &[
        choice(
            "mode",
            &["immediate", "hold", "ramp", "latched"],
            D::Text("hold"),
            "`ramp` and `latched` do not act yet: they act as `hold`.",
        ),
        time("hold", (0, DAY), "10s", "Up for this long without a break before it serves again."),
        time("ramp", (0, DAY), "30s", "Then its share grows over this long.").not_yet(),
    ],
};

pub(crate) const AFFINITY: Shape = Shape {
    title: "[route.NAME] affinity",
    doc: "Keeping a client on an endpoint.",
    keys: &[
        choice(
            "mode",
            &["none", "client-ip", "cookie"],
            D::Text("none"),
            "What identifies a client; \"cookie\" needs `key_file`.",
        )
        .not_yet(),
        text("cookie", Text::HeaderName, D::Text("thalweg"), "Name of the cookie.").not_yet(),
        text(
            "key_file",
            Text::File,
            D::Absent("none"),
            "File that holds the key with which cookies are sealed.",
        )
        .not_yet(),
        choice(
            "on_failure",
            &["return", "stick", "none"],
            D::Text("return"),
            "What happens to the binding when its endpoint fails.",
        )
        .not_yet(),
    ],
};

pub(crate) const EJECT: Shape = Shape {
    title: "[eject]",
    doc: "Removal of an endpoint by passive evidence; `[pool.NAME.eject]` overrides single keys.",
    keys: &[
        int("consecutive_failures", (0, 10_000), D::Int(3), "Failures in a row.").not_yet(),
        num("failure_ratio", (0.0, 1.0), 0.2, "Failed share over a span of `window`.").not_yet(),
        int("min_requests", (1, 1_000_000), D::Int(10), "Requests that such a span must hold.").not_yet(),
        time("window", (250, DAY), "10s", "Longest span that is looked at.").not_yet(),
        time("base", (1, DAY), "2s", "First ejection; × count, which grows only when probation fails.")
            .not_yet(),
        time("max", (1, DAY), "60s", "Longest ejection.").not_yet(),
        num(
            "max_share",
            (0.0, 1.0),
            0.5,
            "Largest ejected share of all enabled endpoints that serve a route.",
        )
        .not_yet(),
        num("panic_threshold", (0.0, 1.0), 0.5, "Available share under which a pool is short."),
    ],
};

pub(crate) const LIMITS: Shape = Shape {
    title: "[limits]",
    doc: "Bounds on clients.",
    keys: &[
        int("max_connections", (0, 10_000_000), D::Int(0), "Client connections; 0 = 40 % of the file limit."),
        size("header_bytes", (KIB, MIB), "16KiB", "Request head."),
        int("header_count", (1, 10_000), D::Int(100), "Request header lines."),
        time("header_timeout", (1, DAY), "10s", "From a request's first byte to its last header byte."),
        time("idle_timeout", (1, DAY), "60s", "A client connection with no request on it."),
    ],
};

pub(crate) const LOG: Shape = Shape {
    title: "[log]",
    doc: "What is written to the standard output.",
    keys: &[
        choice("access", &["json", "common", "off"], D::Text("json"), "Format of the access log."),
        choice(
            "level",
            &["error", "warn", "info", "debug", "trace"],
            D::Text("info"),
            "Least severe level of the event log.",
        ),
    ],
};

/// Every shape that has a section in the reference, in its order.
pub(crate) const SHAPES: &[&Shape] = &[
    &ROOT,
    &EDGE,
    &ADMIN,
    &RESOLVER,
    &LISTENER,
    &LISTENER_TLS,
    &CERTIFICATE,
    &PROBE,
    &POOL,
    &ENDPOINT,
    &ENDPOINT_TLS,
    &KEEPALIVE,
    &ROUTE,
    &ROUTE_POOL,
    &LATENCY,
    &TIMEOUTS,
    &RETRY,
    &FAILBACK,
    &AFFINITY,
    &EJECT,
    &LIMITS,
    &LOG,
];
