//! The keys of `[limits]`: bounds on clients.

use crate::table::{DAY, Default as D, KIB, MIB, Shape, choice, int, size, table, time};

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
        int(
            "request_rate",
            (0, 1_000_000),
            D::Int(0),
            "Requests per second of one client, an IPv4 address or an IPv6 /64; further ones are a 429 `rate_limited`; 0 = no bound.",
        ),
        int(
            "request_burst",
            (0, 1_000_000),
            D::Int(0),
            "Requests that a client may make at once, above which `request_rate` counts; 0 = those of one second.",
        ),
        size(
            "body_min_rate",
            (0, MIB),
            "0",
            "Bytes per second that a client sends of an upload and takes of an answer, at least. Only time in which it is waited for counts, and it may fall 5 s behind; then the request ends (`body_too_slow`). `\"0\"` = no bound.",
        ),
        size("header_bytes", (KIB, MIB), "16KiB", "Request head."),
        int("header_count", (1, 10_000), D::Int(100), "Request header lines."),
        int(
            "answer_fields",
            (1, 10_000),
            D::Int(200),
            "Header lines of an endpoint's answer. An answer with more is a 502 `answer_fields`; it is not retried, and ejects no endpoint.",
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
            "Body bytes held for a client or endpoint that does not read.",
        ),
        table("h2", &LIMITS_H2, D::Table, "Bounds on one HTTP/2 connection of a client."),
    ],
};

pub(crate) const LIMITS_H2: Shape = Shape {
    title: "[limits] h2",
    doc: "Bounds on one HTTP/2 connection of a client. A connection over a bound ends with GOAWAY ENHANCE_YOUR_CALM.",
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
