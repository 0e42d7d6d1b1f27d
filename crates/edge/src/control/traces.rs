//! Reports traces to a collector: OTLP over HTTP, protobuf by the published schema (`opentelemetry-proto`). No
//! request waits for it: traces wait in a bounded queue; what the collector does not take is dropped and counted.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span::SpanKind, status::StatusCode},
};
use prost::Message;
use thalweg_core::Tick;
use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    time::{Instant, sleep, timeout_at},
};

use crate::{
    control::{
        post::{Report, post},
        wall_clock,
    },
    shared::{
        Live, Shared,
        decision::AttemptRecord,
        meters::{Meters, Series},
        telemetry::TRACES,
        trace::FinishedTrace,
    },
};

/// Traces of one call.
const BATCH: usize = 256;
/// Longest wait of a trace for others.
const GATHER: Duration = Duration::from_secs(1);
/// Pauses between the calls for one batch; then it is dropped. More of them would only fill the queue.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(3)];

/// Reports until the task is dropped.
pub async fn run(shared: Arc<Shared>, meters: Arc<Meters>) {
    let cell = |result: &str| meters.cell(Series::new(&TRACES, &[&Arc::from(result)]));
    let (sent, failed, dropped) = (cell("sent"), cell("failed"), cell("dropped"));
    let mut finished = shared.traces.subscribe();
    loop {
        let Some((batch, missed)) = gather(&mut finished).await else { return };
        dropped.add(missed);
        let count = batch.len() as u64;
        let mut pauses = PAUSES.into_iter();
        let arrived = loop {
            let live = shared.live.load_full();
            let Some(target) = &live.wiring.otlp else { break false };
            let Err(error) = post(target, report(&live, &batch, shared.now())).await else { break true };
            failed.bump();
            tracing::info!(host = &*target.server.host, %error, "traces not taken by the collector");
            match pauses.next().filter(|_| error.may_pass()) {
                Some(pause) => sleep(pause).await,
                None => break false,
            }
        };
        if arrived { sent.add(count) } else { dropped.add(count) }
    }
}

/// Waits for traces; returns those that came together, and how many the queue has lost meanwhile.
async fn gather(finished: &mut Receiver<Arc<FinishedTrace>>) -> Option<(Vec<Arc<FinishedTrace>>, u64)> {
    let (mut batch, mut missed) = (Vec::new(), 0);
    let mut until = None;
    while batch.len() < BATCH {
        let next = match until {
            None => finished.recv().await,
            Some(until) => match timeout_at(until, finished.recv()).await {
                Ok(next) => next,
                Err(_) => break,
            },
        };
        match next {
            Ok(trace) => batch.push(trace),
            Err(RecvError::Lagged(lost)) => missed += lost,
            Err(RecvError::Closed) => return None,
        }
        until = until.or_else(|| Some(Instant::now() + GATHER));
    }
    Some((batch, missed))
}

fn report(live: &Live, batch: &[Arc<FinishedTrace>], now: Tick) -> Report {
    let edge = &live.wiring.config.edge;
    let resource = Resource {
        attributes: attributes([
            ("service.name", "thalweg".into()),
            ("service.version", env!("CARGO_PKG_VERSION").into()),
            ("service.instance.id", (*edge.name).into()),
            ("cloud.region", (*edge.region).into()),
            ("cloud.provider", (*edge.cloud).into()),
        ]),
        ..Resource::default()
    };
    let wall = WallClock { now, unix: wall_clock::unix(SystemTime::now()) };
    let spans = batch.iter().flat_map(|trace| spans(trace, &wall)).collect();
    let scope = InstrumentationScope { name: "thalweg".into(), ..InstrumentationScope::default() };
    let scope = ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() };
    let resource =
        ResourceSpans { resource: Some(resource), scope_spans: vec![scope], ..ResourceSpans::default() };
    let request = ExportTraceServiceRequest { resource_spans: vec![resource] };
    let body = Bytes::from(request.encode_to_vec());
    Report { content_type: "application/x-protobuf", key: None, body }
}

/// A moment on both clocks.
struct WallClock {
    now: Tick,
    unix: Duration,
}

impl WallClock {
    fn nanos(&self, at: Tick) -> u64 {
        let then = self.unix.saturating_sub(self.now.since(at));
        u64::try_from(then.as_nanos()).unwrap_or(u64::MAX)
    }
}

/// One attribute's value; empty texts are left out.
enum Attribute<'a> {
    Text(&'a str),
    Number(u64),
    Flag(bool),
}

impl<'a> From<&'a str> for Attribute<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

fn attributes<'a>(all: impl IntoIterator<Item = (&'static str, Attribute<'a>)>) -> Vec<KeyValue> {
    let value = |attribute| match attribute {
        Attribute::Text("") => None,
        Attribute::Text(text) => Some(any_value::Value::StringValue(text.to_owned())),
        Attribute::Number(number) => {
            Some(any_value::Value::IntValue(i64::try_from(number).unwrap_or(i64::MAX)))
        }
        Attribute::Flag(flag) => Some(any_value::Value::BoolValue(flag)),
    };
    let one = |(key, attribute): (&str, Attribute<'a>)| {
        let value = AnyValue { value: Some(value(attribute)?) };
        Some(KeyValue { key: key.to_owned(), value: Some(value), ..KeyValue::default() })
    };
    all.into_iter().filter_map(one).collect()
}

/// The span of the request, and one for each attempt.
fn spans(trace: &FinishedTrace, wall: &WallClock) -> Vec<Span> {
    let (record, ids) = (&trace.record, &trace.ids);
    let ended = |at: Tick, took_us: u64| wall.nanos(at.after(Duration::from_micros(took_us)));
    let why = record.refusal.as_deref().or(record.error.as_deref()).unwrap_or_default();
    let own = Span {
        trace_id: ids.trace.to_be_bytes().to_vec(),
        span_id: ids.span.to_be_bytes().to_vec(),
        parent_span_id: ids.parent.map(|parent| parent.to_be_bytes().to_vec()).unwrap_or_default(),
        name: format!("{} {}", record.method, record.route),
        kind: SpanKind::Server.into(),
        start_time_unix_nano: wall.nanos(record.started),
        end_time_unix_nano: ended(record.started, record.duration_us),
        attributes: attributes([
            ("http.request.method", (*record.method).into()),
            ("http.response.status_code", Attribute::Number(record.status.into())),
            ("server.address", (*record.host).into()),
            ("url.path", (*record.path).into()),
            ("client.address", (*record.client).into()),
            ("error.type", why.into()),
            ("thalweg.request_id", (*record.request_id).into()),
            ("thalweg.route", (*record.route).into()),
            ("thalweg.generation", Attribute::Number(record.generation)),
            ("thalweg.revision", Attribute::Number(record.revision)),
        ]),
        status: failed(record.status >= 500 || record.error.is_some(), why),
        ..Span::default()
    };
    let attempts = record.attempts.iter().zip(&trace.attempts).map(|(attempt, span)| {
        let started = record.started.after(Duration::from_micros(attempt.after_us));
        Span {
            trace_id: ids.trace.to_be_bytes().to_vec(),
            span_id: span.to_be_bytes().to_vec(),
            parent_span_id: ids.span.to_be_bytes().to_vec(),
            name: format!("{} {}", record.method, attempt.pool),
            kind: SpanKind::Client.into(),
            start_time_unix_nano: wall.nanos(started),
            end_time_unix_nano: ended(started, attempt.duration_us),
            attributes: of_attempt(attempt),
            status: failed(!["ok", "cancelled"].contains(&attempt.outcome), attempt.outcome),
            ..Span::default()
        }
    });
    std::iter::once(own).chain(attempts).collect()
}

fn of_attempt(attempt: &AttemptRecord) -> Vec<KeyValue> {
    let (host, port) = attempt.endpoint.rsplit_once(':').unwrap_or((&attempt.endpoint, ""));
    let error = if ["ok", "cancelled"].contains(&attempt.outcome) { "" } else { attempt.outcome };
    let mut all = vec![
        ("server.address", host.trim_matches(['[', ']']).into()),
        ("server.port", Attribute::Number(port.parse().unwrap_or(0))),
        ("error.type", error.into()),
        ("thalweg.pool", (*attempt.pool).into()),
        ("thalweg.reason", attempt.reason.as_str().into()),
        ("thalweg.attempt", attempt.kind.as_str().into()),
        ("thalweg.outcome", attempt.outcome.into()),
        ("thalweg.late", Attribute::Flag(attempt.late)),
    ];
    all.extend(attempt.first_byte_us.map(|span| ("thalweg.first_byte_us", Attribute::Number(span))));
    attributes(all)
}

fn failed(failed: bool, why: &str) -> Option<Status> {
    failed.then(|| Status { message: why.to_owned(), code: StatusCode::Error.into() })
}
