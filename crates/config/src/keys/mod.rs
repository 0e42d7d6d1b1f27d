//! Every key of the file: name, kind, bounds, default, meaning. The single source of the reader, the schema
//! and the reference in docs/configuration.md. Never refers to code that acts on a key.
//!
//! `dns` declares the keys of DNS answers, `fleet` those of the fleet, `front` those of the trust boundary, `limits` the bounds on clients, `pool` those of probes, pools and ejection,
//! `route` the keys of routes, `reports` what the edge keeps and tells of its requests and changes, this file the rest.

mod dns;
mod fleet;
mod front;
mod limits;
mod pool;
mod reports;
mod route;

pub(crate) use dns::{DNS, DNS_NAME};
pub(crate) use fleet::FLEET;
pub(crate) use front::PROXY_PROTOCOL;
pub(crate) use limits::{LIMITS, LIMITS_H2};
pub(crate) use pool::{EJECT, ENDPOINT, ENDPOINT_TLS, KEEPALIVE, POOL, PROBE, QUEUE};
pub(crate) use reports::{ANNOUNCE, DECISIONS, NOTIFY, TELEMETRY};
pub(crate) use route::{AFFINITY, DAMPING, FAILBACK, GEO_ENTRY, LATENCY, RETRY, ROUTE, ROUTE_POOL, TIMEOUTS};

use self::front::{FORWARDING_FIELDS, SOME_NETWORKS};
use crate::{
    table::{DAY, Default as D, Kind, Shape, boolean, choice, int, list, table, text, time},
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
    doc: "The version of this format, and the other files that belong to the config.",
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
        table("edge", &EDGE, D::Table, "Name and place of this edge, and how it starts and stops."),
        table("admin", &ADMIN, D::Table, "The admin server."),
        table("resolver", &RESOLVER, D::Table, "How names become addresses."),
        list(
            "listener",
            Kind::List { of: &Kind::Table(&LISTENER), min: 1, max: 256 },
            D::Absent("at least one over all files"),
            "An address at which the edge accepts clients.",
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
            "Which pools serve a host and path, and how they share the traffic.",
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
        table(
            "decisions",
            &DECISIONS,
            D::Table,
            "The records that the edge keeps of requests that have ended.",
        ),
        table("notify", &NOTIFY, D::Table, "The webhook for state changes of pools and routes."),
        table("telemetry", &TELEMETRY, D::Table, "The collector of traces of requests."),
        table(
            "announce",
            &ANNOUNCE,
            D::Absent("this edge announces nothing"),
            "Anycast addresses, by a BIRD on this machine.",
        ),
        table("fleet", &FLEET, D::Absent("none"), "The NATS servers that edges share."),
        table("dns", &DNS, D::Absent("no DNS query is answered"), "The zone that this edge answers for."),
    ],
};

pub(crate) const EDGE: Shape = Shape {
    title: "[edge]",
    doc: "Name and place of this edge, and how it starts and stops.",
    keys: &[
        text(
            "name",
            Text::Label,
            D::Absent("the host name"),
            "Name of this edge in the status. A request whose `Via` names it, or `thalweg`, three times is in a loop (508).",
        ),
        text("region", Text::Label, D::Absent("empty"), "The region of this edge; free text."),
        text("cloud", Text::Label, D::Absent("empty"), "The cloud of this edge; free text."),
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
            "After that, requests in flight have this long; idle connections are closed, many of them spread over half of this time.",
        ),
        text(
            "state_dir",
            Text::Folder,
            D::Text(""),
            "Folder for what outlives a restart: orders, latched failovers and the history of configs; made when it is missing. Empty: a restart ends them.",
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
            "File of the tokens that may call the admin API: lines `NAME ROLE TOKEN` (role `read` or `write`; `#` begins a comment), or one bare token, which is `admin write`. Read at load, and again when it changes.",
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
            "Which addresses of a name are used. \"auto\": both families; a family that never worked does not count.",
        ),
    ],
};

pub(crate) const LISTENER: Shape = Shape {
    title: "[[listener]]",
    doc: "An address at which the edge accepts clients. Names and addresses are unique.",
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
            Kind::List { of: &Kind::Choice(&["http/1.1", "h2", "h2c", "h3", "tcp"]), min: 1, max: 4 },
            D::Absent("[\"http/1.1\"]; with TLS [\"h2\", \"http/1.1\"]"),
            "Plain: \"http/1.1\" and, only if named, \"h2c\". With TLS: \"h2\" and \"http/1.1\" over TCP and, only if named, \"h3\" over UDP on the same address and port (experimental); answers over TCP then carry `Alt-Svc`. Alone, \"tcp\": connections that are not HTTP; the route is found by the name in the ClientHello (SNI), and TLS passes through unless the listener has `tls`.",
        ),
        text(
            "host",
            Text::HostPattern,
            D::Absent("the name that the client asks for by SNI"),
            "Only with \"tcp\": the host that every connection counts as one for. The edge then reads nothing before it connects, as protocols need in which the server speaks first.",
        ),
        table("tls", &LISTENER_TLS, D::Absent("plaintext"), "TLS towards clients."),
        table(
            "proxy_protocol",
            &PROXY_PROTOCOL,
            D::Absent("no connection begins with a PROXY header"),
            "Balancers that say who the client is before the connection's first byte.",
        ),
        list(
            "trusted",
            SOME_NETWORKS,
            D::Absent("none"),
            "Networks of the proxies in front of this edge. The client of their requests is the right-most address of `forwarded` that is not one of theirs.",
        ),
        choice(
            "forwarded",
            FORWARDING_FIELDS,
            D::Text("x-forwarded-for"),
            "The field in which the `trusted` proxies say who the client is.",
        ),
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
        text(
            "client_ca",
            Text::File,
            D::Absent("clients are asked for no certificate"),
            "PEM bundle of what client certificates are verified by: authorities, or the certificates of single clients. Read at load, and again when it changes.",
        ),
        choice(
            "client_auth",
            &["required", "optional"],
            D::Text("required"),
            "Whether a client without a certificate is refused. One with a bad certificate always is. Needs `client_ca`.",
        ),
        text(
            "client_crl",
            Text::File,
            D::Absent("nothing is revoked"),
            "PEM certificate revocation lists of the authorities in `client_ca`. Needs `client_ca`.",
        ),
    ],
};

pub(crate) const CERTIFICATE: Shape = Shape {
    title: "[listener.tls] certificates",
    doc: "A certificate chain and its key.",
    keys: &[
        text(
            "cert",
            Text::File,
            D::Required,
            "PEM chain. A chain that does not begin with its leaf is put in order.",
        ),
        text("key", Text::File, D::Required, "PEM key (PKCS#8, PKCS#1 or SEC1), not encrypted."),
        text(
            "ocsp",
            Text::File,
            D::Absent("none is stapled"),
            "OCSP response in DER that is stapled to the certificate. Read at load, and again when it changes.",
        ),
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
            "Least severe level of the event log. It applies to the lines of this program; its libraries write errors only.",
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
    &PROXY_PROTOCOL,
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
    &ANNOUNCE,
    &FLEET,
    &DNS,
    &DNS_NAME,
];
