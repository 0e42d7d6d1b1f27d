//! The keys of routes: matching, pools, timeouts, retries, failback, affinity.

use super::{MANY, WEIGHT};
use crate::{
    table::{
        DAY, Default as D, Kind, MIB, SECOND, Shape, TIB, boolean, choice, int, list, num, size, table, text,
        time,
    },
    text::Text,
};

pub(crate) const ROUTE: Shape = Shape {
    title: "[route.NAME]",
    doc: "Which pools serve a host and path, and how they share the traffic.",
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
            "Whole segments: \"/api\" matches /api and /api/x, not /apix. Percent-encoding is read as in requests: \"/%61pi\" is \"/api\".",
        ),
        choice("policy", &["failover", "weighted", "latency", "geo"], D::Required, "How the pools share."),
        list(
            "pools",
            Kind::List { of: &Kind::Table(&ROUTE_POOL), min: 1, max: MANY },
            D::Absent("mandatory; with policy \"geo\", the order of the entry for \"*\""),
            "The pools, each at most once.",
        ),
        list(
            "geo",
            Kind::List { of: &Kind::Table(&GEO_ENTRY), min: 1, max: 1_000 },
            D::Absent("mandatory with policy \"geo\", else none"),
            "Orders of pools for clients from certain places. The most specific place decides: the longest network, then the country, then the continent; no entry: \"*\", else the route's `pools`.",
        ),
        table("latency", &LATENCY, D::Table, "When pools count as equally near (policy \"latency\")."),
        table("timeouts", &TIMEOUTS, D::Table, "Bounds on the stages of a request."),
        table("retry", &RETRY, D::Table, "When another attempt may be made."),
        table("failback", &FAILBACK, D::Table, "The return to a pool that was left because it was down."),
        table("damping", &DAMPING, D::Table, "When a pool, or an endpoint, that flaps gets no traffic."),
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
            "Share among the pools of its tier; 0 = serves only when no other pool is left.",
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

pub(crate) const GEO_ENTRY: Shape = Shape {
    title: "[route.NAME] geo",
    doc: "An order of pools for clients from certain places.",
    keys: &[
        list(
            "from",
            Kind::List { of: &Kind::Text(Text::GeoPlace), min: 1, max: 1_000 },
            D::Required,
            "The places, each in one entry of the route.",
        ),
        list(
            "pools",
            Kind::List { of: &Kind::Text(Text::Name), min: 1, max: MANY },
            D::Required,
            "The pools in the order of failover. Behind them come the route's own, unless `residency` is set.",
        ),
        boolean(
            "residency",
            false,
            "The requests go to these pools or to none: 503 `residency` when no endpoint of theirs can be reached.",
        ),
    ],
};

pub(crate) const LATENCY: Shape = Shape {
    title: "[route.NAME] latency",
    doc: "When pools count as equally near.",
    keys: &[
        time(
            "band",
            (0, 3_600 * SECOND),
            "10ms",
            "Pools whose latency is within this much of the best share by weight.",
        ),
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
        int(
            "attempts",
            (0, 10),
            D::Int(2),
            "Tries after the first. 0 = none; a late connect is still raced.",
        ),
        list(
            "on",
            Kind::List { of: &Kind::Choice(&["connect", "reset", "5xx"]), min: 0, max: 3 },
            D::Texts(&["connect", "reset", "5xx"]),
            "Causes; reset and 5xx only for GET HEAD OPTIONS PUT DELETE. Without \"connect\", a late connect is still raced.",
        ),
        num("budget", (0.0, 1.0), 0.10, "Retries ÷ requests of the last 10 s, plus 10/s."),
        size("buffer", (0, 64 * MIB), "64KiB", "Bytes of an upload that are kept for a replay."),
        boolean("hedge", false, "Race a second request against one whose first byte is late."),
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
            "\"immediate\": with its first Up; \"hold\": when it has been Up for `hold`; \"ramp\": then its share grows over `ramp`; \"latched\": when the operator ends the failover. Under \"weighted\" \"hold\" returns at once, and \"ramp\" is a slow start of each endpoint.",
        ),
        time(
            "hold",
            (0, DAY),
            "10s",
            "The pool must be Up for this long without a break before it serves again.",
        ),
        time("ramp", (0, DAY), "30s", "Then its share grows over this long (mode \"ramp\")."),
    ],
};

pub(crate) const DAMPING: Shape = Shape {
    title: "[route.NAME] damping",
    doc: "Each loss of a pool or an endpoint adds a penalty that decays; a pool or an endpoint with too high a penalty gets no traffic while others serve (RFC 2439).",
    keys: &[
        num("penalty", (0.01, 1_000.0), 1.0, "Penalty of one loss."),
        num(
            "suppress",
            (0.0, 1_000_000.0),
            3.0,
            "Damped from this penalty on, to the nearest whole loss; 0 = off.",
        ),
        num("reuse", (0.01, 1_000_000.0), 1.0, "Used again below this penalty; less than `suppress`."),
        time("half_life", (1, DAY), "30s", "The time in which a penalty halves."),
        time("max", (1, DAY), "5m", "Longest damping after the last loss."),
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
            "How a client is recognised: by its address (of IPv6 the first 64 bits), or by a signed cookie that names its endpoint (needs `key_file`).",
        ),
        text("cookie", Text::HeaderName, D::Text("thalweg"), "Name of the cookie."),
        text(
            "key_file",
            Text::File,
            D::Absent("none"),
            "File with the keys that sign cookies: one base64 key of at least 32 bytes a line; the first one signs, all verify.",
        ),
        choice(
            "on_failure",
            &["return", "stick", "none"],
            D::Text("return"),
            "While the client's endpoint may not serve: \"return\": another one stands in; \"stick\": another one becomes the client's (cookies only); \"none\": the request is refused (503).",
        ),
        time(
            "ttl",
            (1_000, 365 * DAY),
            "24h",
            "How long a cookie counts; one in use is renewed at half of it.",
        ),
    ],
};
