//! The keys about what the edge keeps of its requests, and about the servers that it reports to. Only declarations, as
//! in the parent.

use crate::{
    table::{DAY, Default as D, Shape, int, num, text, time},
    text::Text,
};

pub(crate) const DECISIONS: Shape = Shape {
    title: "[decisions]",
    doc: "The records that the edge keeps of requests that have ended, for `thalweg why`.",
    keys: &[int(
        "keep",
        (0, 1_000_000),
        D::Int(10_000),
        "Requests whose decision is kept in memory, over all workers, 336 bytes each at most on average; a quarter of the places is for failed, retried and slow ones, so that they are kept longest. 0 = none.",
    )],
};

pub(crate) const NOTIFY: Shape = Shape {
    title: "[notify]",
    doc: "The webhook for state changes of pools and routes.",
    keys: &[
        text(
            "webhook",
            Text::Url,
            D::Absent("no webhook"),
            "URL that gets each change of a pool or route as JSON, by POST. It delays no request: a change that cannot be delivered is retried for about a minute, then dropped and counted.",
        ),
        text(
            "ca",
            Text::File,
            D::Absent("the system's roots"),
            "Private CA bundle in PEM that the webhook's certificate is verified with.",
        ),
    ],
};

pub(crate) const ANNOUNCE: Shape = Shape {
    title: "[announce]",
    doc: "Which protocols of a BIRD on this machine are enabled while this edge is ready, so that BIRD announces the edge's addresses.",
    keys: &[
        text("bird", Text::File, D::Text("/run/bird/bird.ctl"), "BIRD's control socket."),
        text(
            "protocol",
            Text::Symbols,
            D::Required,
            "The protocol of BIRD that holds the address, usually a `static` one; several with a space between (one for IPv4, one for IPv6). The edge enables and disables it, and nothing else.",
        ),
        time(
            "after",
            (0, DAY),
            "60s",
            "The edge announces after this long of readiness without a break. Doubled with each withdrawal for want of readiness, up to 16 times, until the edge has announced for ten times as long.",
        ),
        time(
            "settle",
            (0, DAY),
            "5s",
            "At the end of the edge: longest wait between the withdrawal and the closing of listeners. It ends when no request has come for a second.",
        ),
    ],
};

pub(crate) const TELEMETRY: Shape = Shape {
    title: "[telemetry]",
    doc: "The collector of traces of requests: one span per request, and a child for each attempt.",
    keys: &[
        text(
            "otlp",
            Text::Url,
            D::Absent("no traces"),
            "URL of a collector that takes OTLP over HTTP; `/v1/traces` is added. It delays no request: traces that the collector does not take are dropped and counted.",
        ),
        num(
            "sample",
            (0.0, 1.0),
            0.01,
            "Part of the requests (0–1) that is traced, by the id of the trace; a client's `traceparent` brings its own decision. Failed requests (5xx, errors) are reported in any case.",
        ),
        text(
            "ca",
            Text::File,
            D::Absent("the system's roots"),
            "Private CA bundle in PEM that the collector's certificate is verified with.",
        ),
    ],
};
