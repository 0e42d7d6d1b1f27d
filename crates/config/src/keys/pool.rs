//! The keys of probes, pools, their endpoints, and ejection.

use super::{FAMILIES, MANY, WEIGHT, dns::SOME_ADDRESSES};
use crate::{
    table::{DAY, Default as D, Kind, Shape, boolean, choice, int, list, num, table, text, time},
    text::Text,
};

pub(crate) const PROBE: Shape = Shape {
    title: "[probe.NAME]",
    doc: "An active check, used by the pools that name it.",
    keys: &[
        choice(
            "kind",
            &["http", "grpc", "tcp"],
            D::Text("http"),
            "What is asked: an HTTP request; `grpc.health.v1.Health/Check` over HTTP/2, where SERVING is good; or nothing, where a connection (with its TLS handshake) is good.",
        ),
        text(
            "service",
            Text::HeaderValue,
            D::Absent("the server as a whole"),
            "Service whose health is asked for, with kind \"grpc\".",
        ),
        text("path", Text::Target, D::Text("/health"), "Path and query of the request."),
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
            "Gap to the next probe while a change is being confirmed, and after a request failed at the endpoint.",
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
        boolean(
            "weight_from_body",
            false,
            "A good answer may be a JSON object with `weight` (0 to 100): the percent of its share that the endpoint takes. Without `weight`: 50 if `status` is \"degraded\", else 100. 0 = no new clients.",
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
        text("cloud", Text::Label, D::Absent("empty"), "The cloud of this pool; free text."),
        text("region", Text::Label, D::Absent("empty"), "The region of this pool; free text."),
        text("probe", Text::Name, D::Absent("its endpoints count as Healthy"), "Name of the probe."),
        list(
            "endpoints",
            Kind::List { of: &Kind::Table(&ENDPOINT), min: 1, max: MANY },
            D::Required,
            "Where requests go; at most 100,000 over all pools.",
        ),
        choice(
            "protocol",
            &["http/1.1", "h2"],
            D::Text("http/1.1"),
            "What its endpoints speak. `h2` is HTTP/2: chosen by ALPN over TLS, by prior knowledge in clear. An endpoint that does not speak it counts as one that cannot be connected to.",
        ),
        int("max_in_flight", (0, 1_000_000), D::Int(0), "Requests in flight per endpoint; 0 = no cap."),
        int(
            "capacity",
            (0, 10_000_000),
            D::Int(0),
            "Requests per second that the pool is meant to take; what exceeds them goes to the next pool, waits a moment (`queue`) when all are at their capacity, and is refused (503 `overloaded`) when too much waits. An evacuation is refused when the other pools declare too little. 0 = not declared.",
        ),
        table("queue", &QUEUE, D::Table, "Waiting while the pool has no room."),
        table(
            "tls",
            &ENDPOINT_TLS,
            D::Absent("plaintext"),
            "TLS towards all endpoints of the pool. A key that an endpoint's own `tls` sets holds there.",
        ),
        table("keepalive", &KEEPALIVE, D::Table, "Idle connections to endpoints."),
        text(
            "host",
            Text::Authority,
            D::Absent("the client's Host passes unchanged"),
            "Host header towards the endpoints.",
        ),
        choice(
            "send_proxy",
            &["v2"],
            D::Absent("none is sent"),
            "Version of the PROXY header that begins each connection to the endpoints and says who the client is. A connection then carries the requests of one client address and port.",
        ),
        table("eject", &EJECT, D::Absent("as [eject]"), "Overrides of `[eject]` for this pool."),
        list(
            "dns",
            SOME_ADDRESSES,
            D::Absent("none"),
            "Public addresses of the pool's place, usually those of the edges there: what DNS answers name while the pool serves.",
        ),
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
            "Share inside the pool; each resolved address has it; 0 = serves only when the pool has no other endpoint.",
        ),
        choice(
            "family",
            FAMILIES,
            D::Absent("as `[resolver] family`"),
            "Which addresses of a name are used.",
        ),
        table(
            "tls",
            &ENDPOINT_TLS,
            D::Absent("as the pool's"),
            "TLS towards the endpoint; `{}` for all defaults.",
        ),
    ],
};

pub(crate) const ENDPOINT_TLS: Shape = Shape {
    title: "[pool.NAME] endpoints tls",
    doc: "TLS towards the endpoint; `[pool.NAME] tls` has the same keys.",
    keys: &[
        text(
            "sni",
            Text::Server,
            D::Absent("the host of `address`"),
            "Server name that is sent and verified.",
        ),
        boolean(
            "verify",
            true,
            "Verify the certificate: issuer, name, validity. If false, the endpoint must only prove that it holds the key.",
        ),
        text(
            "ca",
            Text::File,
            D::Absent("the system's roots"),
            "PEM bundle that is trusted instead of the system's roots: authorities, or the endpoint's own certificate.",
        ),
        text(
            "cert",
            Text::File,
            D::Absent("none is shown"),
            "PEM chain that is shown to an endpoint that asks for a certificate. Needs `key`.",
        ),
        text("key", Text::File, D::Absent("none"), "PEM key of `cert`, not encrypted."),
    ],
};

pub(crate) const KEEPALIVE: Shape = Shape {
    title: "[pool.NAME] keepalive",
    doc: "Idle connections, per worker and endpoint.",
    keys: &[
        time("idle", (1, DAY), "4s", "Longest idle time; set it below the endpoint's own (uvicorn: 5 s)."),
        int("max_idle", (0, 65_536), D::Int(64), "Most idle connections; 0 = none is kept."),
        time("age", (1, DAY), "10m", "Longest life of a connection."),
    ],
};

pub(crate) const QUEUE: Shape = Shape {
    title: "[pool.NAME] queue",
    doc: "Waiting while the pool is at its `capacity`, or every endpoint at `max_in_flight`.",
    keys: &[
        int(
            "size",
            (0, 100_000),
            D::Int(0),
            "Requests that may wait, over all workers; 0 = none. Absent in a pool with a `capacity`: a tenth of it.",
        ),
        time(
            "timeout",
            (1, DAY),
            "1s",
            "Longest wait; then 503 `overloaded` with `Retry-After`. Absent in a pool with a `capacity`: 150ms.",
        ),
    ],
};

pub(crate) const EJECT: Shape = Shape {
    title: "[eject]",
    doc: "Removal of an endpoint by passive evidence; `[pool.NAME.eject]` overrides single keys.",
    keys: &[
        int(
            "consecutive_failures",
            (0, 10_000),
            D::Int(3),
            "Failures in a row that eject: connect errors, resets, timeouts, 5xx, late first bytes; 0 = off.",
        ),
        num(
            "failure_ratio",
            (0.0, 1.0),
            0.2,
            "Failed share that ejects, over any trailing span of `window` from 250 ms on; 0 = off.",
        ),
        int("min_requests", (1, 1_000_000), D::Int(10), "Requests that such a span must hold."),
        time("window", (250, 600_000), "10s", "Longest span over which failures are counted."),
        time(
            "base",
            (1, DAY),
            "2s",
            "Length of the first ejection; later ones last this × count, which grows only when probation fails.",
        ),
        time("max", (1, DAY), "60s", "Longest ejection, besides up to 10 % of jitter."),
        num(
            "max_share",
            (0.0, 1.0),
            0.5,
            "Largest ejected share of all enabled endpoints that serve a route.",
        ),
        num(
            "panic_threshold",
            (0.0, 1.0),
            0.5,
            "A pool whose available share is under this is below threshold.",
        ),
    ],
};
