//! The keys about what the edge keeps of its requests, and about the servers that it reports to. Only declarations, as
//! in the parent.

use crate::{
    table::{Default as D, Shape, int, num, text},
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
