//! Traces: what a collector receives, decoded by the published schema, and the trace fields that endpoints receive.

mod common;

use std::time::Duration;

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value::Value},
    trace::v1::{Span, span::SpanKind},
};
use prost::Message;
use thalweg_testkit::{Behaviour, Client, Conf, Edge, Endpoint, Load, Receiver, eventually};

const SOON: Duration = Duration::from_secs(15);
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

fn edge_with(telemetry: &str) -> (Edge, Endpoint, Endpoint) {
    let (first, second) = (Endpoint::start("a"), Endpoint::start("b"));
    let conf = Conf::simple("failover", &[first.addr(), second.addr()]).raw(telemetry);
    let edge = Edge::start(&conf);
    edge.until_up(2);
    (edge, first, second)
}

fn telemetry(receiver: &Receiver, sample: &str) -> String {
    format!("[telemetry]\notlp = \"http://{}\"\nsample = {sample}\n", receiver.addr())
}

/// The answer's status.
fn send(edge: &Edge, headers: &str) -> u16 {
    Client::connect(edge.web()).ask("GET", "/bytes/10?secret=1", headers, b"").expect("an answer").status
}

/// All spans that have arrived.
fn spans(receiver: &Receiver) -> Vec<Span> {
    let mut all = Vec::new();
    for posted in receiver.posted() {
        assert_eq!(
            (posted.target.as_str(), posted.header("content-type")),
            ("/v1/traces", "application/x-protobuf")
        );
        let request = ExportTraceServiceRequest::decode(posted.body.clone()).expect("the published schema");
        for resource in request.resource_spans {
            let name = resource.resource.expect("a resource").attributes;
            assert_eq!(text(&name, "service.name"), "thalweg");
            all.extend(resource.scope_spans.into_iter().flat_map(|scope| scope.spans));
        }
    }
    all
}

fn text(attributes: &[KeyValue], key: &str) -> String {
    let found = attributes.iter().find(|one| one.key == key);
    match found.and_then(|one| one.value.as_ref()).and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(other) => format!("{other:?}"),
        None => String::new(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn counted(edge: &Edge, result: &str) -> f64 {
    edge.metric("thalweg_traces_total", &[("result", result)])
}

#[test]
fn a_request_is_a_span_with_a_child_for_each_attempt() {
    let receiver = Receiver::start();
    let (edge, first, second) = edge_with(&telemetry(&receiver, "0.0"));
    first.behave(Behaviour::ResetBeforeHead);
    let fields =
        format!("traceparent: 00-{TRACE}-{PARENT}-01\r\ntracestate: a=b\r\nx-request-id: traced\r\n");
    assert_eq!(send(&edge, &fields), 200);
    eventually("three spans", SOON, || spans(&receiver).len() == 3);
    let all = spans(&receiver);
    let (server, attempts) = all.split_first().expect("the request first");
    assert!(all.iter().all(|span| hex(&span.trace_id) == TRACE));
    assert_eq!((server.kind, hex(&server.parent_span_id).as_str()), (SpanKind::Server.into(), PARENT));
    assert_eq!(server.name, "GET all");
    for (key, expected) in [
        ("http.request.method", "GET"),
        ("http.response.status_code", "200"),
        ("url.path", "/bytes/10"),
        ("client.address", "127.0.0.1"),
        ("thalweg.request_id", "traced"),
        ("thalweg.route", "all"),
    ] {
        assert_eq!(text(&server.attributes, key), expected, "{key}");
    }
    assert!(!format!("{all:?}").contains("secret"));
    let expected = [(&first, "p0", "reset", "first"), (&second, "p1", "ok", "retry")];
    for (span, (endpoint, pool, outcome, kind)) in attempts.iter().zip(expected) {
        assert_eq!((span.kind, &span.parent_span_id), (SpanKind::Client.into(), &server.span_id));
        let port = endpoint.addr().port().to_string();
        for (key, expected) in [
            ("server.port", port.as_str()),
            ("thalweg.pool", pool),
            ("thalweg.outcome", outcome),
            ("thalweg.attempt", kind),
        ] {
            assert_eq!(text(&span.attributes, key), expected, "{key}");
        }
        assert_eq!(span.status.is_some(), outcome != "ok");
        assert!(server.start_time_unix_nano <= span.start_time_unix_nano);
        assert!(span.end_time_unix_nano <= server.end_time_unix_nano + 1_000_000);
        let told = endpoint.requests().into_iter().find(|seen| seen.header("x-request-id") == Some("traced"));
        let told = told.expect("the request arrived");
        let sent = format!("00-{TRACE}-{}-01", hex(&span.span_id));
        assert_eq!(told.head.all("traceparent"), [sent.as_str()]);
        assert_eq!(told.header("tracestate"), Some("a=b"));
    }
    assert_eq!((counted(&edge, "sent"), counted(&edge, "dropped")), (1.0, 0.0));
}

#[test]
fn what_is_sampled_is_decided_by_the_ratio_the_client_or_a_failure() {
    let receiver = Receiver::start();
    let (edge, first, second) = edge_with(&telemetry(&receiver, "0.0"));
    let unsampled = format!("traceparent: 00-{TRACE}-{PARENT}-00\r\n");
    assert_eq!((send(&edge, ""), send(&edge, &unsampled)), (200, 200));
    let told = first.requests().last().and_then(|seen| seen.header("traceparent").map(str::to_owned));
    assert!(
        told.as_ref().is_some_and(|told| told.starts_with(&format!("00-{TRACE}-")) && told.ends_with("-00")),
        "{told:?}"
    );
    first.behave(Behaviour::Status(500));
    second.behave(Behaviour::Status(500));
    assert_eq!(send(&edge, "x-request-id: failed\r\n"), 500);
    eventually("the failure is told", SOON, || !spans(&receiver).is_empty());
    let all = spans(&receiver);
    let requests: Vec<&Span> = all.iter().filter(|span| span.kind == i32::from(SpanKind::Server)).collect();
    assert_eq!(requests.len(), 1, "only what failed: {requests:?}");
    assert_eq!(text(&requests[0].attributes, "thalweg.request_id"), "failed");
    assert!(requests[0].parent_span_id.is_empty() && requests[0].status.is_some());
    let (edge, _first, _second) = edge_with(&telemetry(&receiver, "1.0"));
    let before = spans(&receiver).len();
    (0..20).for_each(|_| assert_eq!(send(&edge, ""), 200));
    eventually("each request and its attempt", SOON, || spans(&receiver).len() == before + 40);
}

#[test]
fn a_collector_that_is_gone_delays_no_request() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = gone.local_addr().expect("bound");
    drop(gone);
    let (edge, _first, _second) =
        edge_with(&format!("[telemetry]\notlp = \"http://{addr}\"\nsample = 1.0\n"));
    Load::to(edge.web()).rate(1500.0).count(4500).run().assert_none_failed("a collector that is gone");
    eventually("its calls fail and traces are dropped", SOON, || {
        counted(&edge, "failed") > 0.0 && counted(&edge, "dropped") > 0.0
    });
}

#[test]
fn without_a_collector_trace_fields_pass_untouched() {
    let (edge, first, _second) = edge_with("[decisions]\nkeep = 0\n");
    let given = format!("00-{TRACE}-{PARENT}-01");
    assert_eq!(send(&edge, &format!("traceparent: {given}\r\n")), 200);
    assert_eq!(first.only().header("traceparent"), Some(given.as_str()));
    assert_eq!(counted(&edge, "sent"), 0.0);
}
