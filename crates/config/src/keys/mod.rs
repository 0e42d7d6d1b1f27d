//! Every key of the file: name, kind, bounds, default, meaning. The single source of the reader, the schema
//! and the reference in docs/configuration.md. Never refers to code that acts on a key.
//!
//! `fleet` declares the keys of the fleet, `pool` those of probes, pools and ejection, `route` those of routes, `reports`
//! what the edge keeps and tells of its requests and changes, this file the rest.

mod fleet;
mod pool;
mod reports;
mod route;

pub(crate) use fleet::FLEET;
pub(crate) use pool::{EJECT, ENDPOINT, ENDPOINT_TLS, KEEPALIVE, POOL, PROBE, QUEUE};
pub(crate) use reports::{DECISIONS, NOTIFY, TELEMETRY};
pub(crate) use route::{AFFINITY, DAMPING, FAILBACK, GEO_ENTRY, LATENCY, RETRY, ROUTE, ROUTE_POOL, TIMEOUTS};

use crate::{
    table::{DAY, Default as D, KIB, Kind, MIB, Shape, boolean, choice, int, list, size, table, text, time},
    text::Text,
};

/// Most pools, probes, routes, hosts of a route, and endpoints of a pool.
pub(crate) const MANY: usize = 10_000;
/// Most endpoints over all pools.
pub(crate) const MAX_ENDPOINTS: usize = 100_000;
/// Bounds of a weight.
const WEIGHT: (u64, u64) = (0, 65_535);

/// The tables at the top of a file.
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
        table("admin", &ADMIN, D::Table, "The admin server."),
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
        table("geo", &GEO, D::Table, "Where clients are."),
        table("eject", &EJECT, D::Table, "Removal of an endpoint by passive evidence."),
        table("limits", &LIMITS, D::Table, "Bounds on clients."),
        table(
            "log",
            &LOG,
            D::Table,
            "What is logged: requests to the standard output, events to the standard error.",
        ),
        table("decisions", &DECISIONS, D::Table, "What is kept of requests that have ended."),
        table("notify", &NOTIFY, D::Table, "Who is told when pools and routes change their state."),
        table("telemetry", &TELEMETRY, D::Table, "Who gets traces of requests."),
        table("fleet", &FLEET, D::Absent("none"), "The NATS servers that edges share."),
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
            "Name of this edge in the status. A request whose `Via` names it, or `thalweg`, three times is going in a circle (508).",
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
            "Then idle connections are closed, many of them spread over half of this time, and in-flight requests have this long.",
        ),
        text(
            "state_dir",
            Text::Folder,
            D::Text(""),
            "Folder of the one small file in which orders and latched failovers outlive a restart; made when it is missing. Empty: a restart ends them.",
        ),
    ],
};

pub(crate) const ADMIN: Shape = Shape {
    title: "[admin]",
    doc: "The admin server.",
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
            "File that says who may change something: lines `NAME ROLE TOKEN` (role `read` or `write`; `#` begins a comment), or one bare token, which is `admin write`. Read at load, and again when it changes.",
        ),
        boolean(
            "anonymous_read",
            true,
            "Whether the API may be read without a token. `/metrics`, `/livez`, `/readyz` and the page itself always may.",
        ),
    ],
};

/// The spellings of [`thalweg_core::Family`].
pub(crate) const FAMILIES: &[&str] = &["auto", "ipv4", "ipv6"];

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
        time(
            "ttl_min",
            (0, DAY),
            "1s",
            "Floor under the TTL of an answer. An answer holds for a second at least, also with a lower floor or ceiling.",
        ),
        time("ttl_max", (1, DAY), "5m", "Ceiling over the TTL of an answer."),
        int("max_addresses", (1, 1_024), D::Int(64), "Addresses kept per name."),
        choice(
            "family",
            FAMILIES,
            D::Text("auto"),
            "Addresses of names that are used. \"auto\": both families; one that never worked does not count.",
        ),
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

pub(crate) const GEO: Shape = Shape {
    title: "[geo]",
    doc: "Where clients are, for routes with policy \"geo\".",
    keys: &[
        text(
            "database",
            Text::File,
            D::Absent("none"),
            "A database in MaxMind's format with countries and continents (GeoLite2-Country, GeoIP2-City, DB-IP). A new file in its place is used without a reload.",
        ),
        list(
            "networks",
            Kind::Map {
                keys: Text::Name,
                of: &Kind::List { of: &Kind::Text(Text::Cidr), min: 1, max: MANY },
                max: MANY,
            },
            D::Absent("none"),
            "Networks by name, for `from = [\"network:NAME\"]`.",
        ),
    ],
};

pub(crate) const LIMITS: Shape = Shape {
    title: "[limits]",
    doc: "Bounds on clients.",
    keys: &[
        int("max_connections", (0, 10_000_000), D::Int(0), "Client connections; 0 = 40 % of the file limit."),
        int(
            "per_client",
            (0, 10_000_000),
            D::Int(0),
            "Connections of one client, an IPv4 address or an IPv6 /64; further ones are closed at once; 0 = no cap.",
        ),
        size("header_bytes", (KIB, MIB), "16KiB", "Request head."),
        int("header_count", (1, 10_000), D::Int(100), "Request header lines."),
        int(
            "answer_fields",
            (1, 10_000),
            D::Int(200),
            "Header lines of an endpoint's answer. One with more is a 502 `answer_fields`; it is not retried, and ejects no endpoint.",
        ),
        time("header_timeout", (1, DAY), "10s", "From a request's first byte to its last header byte."),
        time("idle_timeout", (1, DAY), "60s", "A client connection with no request on it."),
        choice(
            "lookalike_fields",
            &["refuse", "drop", "pass"],
            D::Text("refuse"),
            "Request fields that some endpoints take for framing, such as `Content_Length`.",
        ),
        size(
            "stream_buffer",
            (4 * KIB, MIB),
            "64KiB",
            "Body bytes held for a client or endpoint that takes none.",
        ),
        table("h2", &LIMITS_H2, D::Table, "Bounds on one HTTP/2 connection of a client."),
    ],
};

pub(crate) const LIMITS_H2: Shape = Shape {
    title: "[limits] h2",
    doc: "Bounds on one HTTP/2 connection of a client. One that is over them is ended with GOAWAY ENHANCE_YOUR_CALM.",
    keys: &[
        int("streams", (1, 1000), D::Int(100), "Requests at the same time."),
        int(
            "resets",
            (1, 100_000),
            D::Int(100),
            "Streams that the client may reset beyond those that were answered.",
        ),
    ],
};

pub(crate) const LOG: Shape = Shape {
    title: "[log]",
    doc: "What is logged: requests to the standard output, events to the standard error.",
    keys: &[
        choice(
            "access",
            &["json", "common", "off"],
            D::Text("json"),
            "Format of the access log, one line per request.",
        ),
        choice(
            "level",
            &["error", "warn", "info", "debug", "trace"],
            D::Text("info"),
            "Least severe level of the event log. It sets the lines of this program; of the libraries in it, errors alone are written.",
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
    &QUEUE,
    &ROUTE,
    &ROUTE_POOL,
    &GEO_ENTRY,
    &LATENCY,
    &TIMEOUTS,
    &RETRY,
    &FAILBACK,
    &DAMPING,
    &AFFINITY,
    &GEO,
    &EJECT,
    &LIMITS,
    &LIMITS_H2,
    &LOG,
    &DECISIONS,
    &NOTIFY,
    &TELEMETRY,
    &FLEET,
];
