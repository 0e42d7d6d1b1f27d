//! The health check of gRPC: `grpc.health.v1.Health/Check` over HTTP/2, with prior knowledge or, with TLS, by ALPN. Only
//! SERVING is good. Source: the gRPC health checking protocol, and "gRPC over HTTP2" for the form of calls.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::{BufMut, Bytes, BytesMut};
use h2::client::SendRequest;
use http::{HeaderMap, HeaderValue, Method, Request, header};
use prost::Message;
use thalweg_core::Fault;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};

use super::{
    ask::{Going, MAX_BODY, Opened, Plan, ProbeFailure, of_io, open_with, theirs},
    expect::printable,
};
use crate::{control::supervise::Task, shared::UpstreamTls};

/// The question, `grpc.health.v1.HealthCheckRequest`.
#[derive(Clone, PartialEq, Message)]
struct HealthRequest {
    #[prost(string, tag = "1")]
    service: String,
}

/// The answer, `grpc.health.v1.HealthCheckResponse`.
#[derive(Clone, PartialEq, Message)]
struct HealthResponse {
    #[prost(int32, tag = "1")]
    status: i32,
}

/// Names of serving states, by number.
const STATES: [&str; 4] = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];

/// Names of status codes, by number.
const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// Asks one endpoint, and keeps its warm connection.
#[derive(Debug, Default)]
pub(super) struct GrpcProber {
    warm: Option<WarmGrpc>,
}

#[derive(Debug)]
struct WarmGrpc {
    sender: SendRequest<Bytes>,
    address: SocketAddr,
    tls: Option<UpstreamTls>,
    since: Instant,
    used: Instant,
    _driver: Task,
}

impl GrpcProber {
    /// Gives the warm connection up.
    pub(super) fn forget(&mut self) {
        self.warm = None;
    }

    /// Asks for the health of a service. A warm connection that the endpoint closed meanwhile is no failure.
    pub(super) async fn ask(&mut self, going: &Going<'_>, service: &str) -> Result<Duration, ProbeFailure> {
        if let Some(warm) = self.warm.take().filter(|warm| warm.serves(going.plan)) {
            match self.ask_once(warm, going, service).await {
                Err(Trouble::Connection(_)) => {}
                done => return done.map_err(Trouble::told),
            }
        }
        let warm = connect(going).await?;
        self.ask_once(warm, going, service).await.map_err(Trouble::told)
    }

    async fn ask_once(
        &mut self,
        mut warm: WarmGrpc,
        going: &Going<'_>,
        service: &str,
    ) -> Result<Duration, Trouble> {
        let request = request(going.plan)
            .map_err(|error| Trouble::Answer(theirs(Fault::Protocol, &error.to_string())))?;
        going.stage.set("waiting for the head of the answer");
        warm.sender = warm.sender.ready().await?;
        let sent = Instant::now();
        let (answer, mut upload) = warm.sender.send_request(request, false)?;
        upload.send_data(framed(service), true)?;
        let answer = answer.await?;
        let latency = sent.elapsed();
        going.stage.set("reading the answer");
        let verdict = judge(answer).await;
        if !matches!(verdict, Err(Trouble::Connection(_))) && !going.plan.idle.is_zero() {
            warm.used = Instant::now();
            self.warm = Some(warm);
        }
        verdict.map(|()| latency)
    }
}

impl WarmGrpc {
    fn serves(&self, plan: &Plan) -> bool {
        let config =
            |tls: &Option<UpstreamTls>| tls.as_ref().map(|tls| (Arc::as_ptr(&tls.config), tls.name.clone()));
        self.address == plan.address
            && config(&self.tls) == config(&plan.tls)
            && self.used.elapsed() < plan.idle
            && self.since.elapsed() < plan.age
    }
}

/// Why a call brought no good answer.
enum Trouble {
    /// The connection, or the stream, has failed.
    Connection(h2::Error),
    /// The answer is a bad one.
    Answer(ProbeFailure),
}

impl From<h2::Error> for Trouble {
    fn from(error: h2::Error) -> Self {
        Self::Connection(error)
    }
}

impl Trouble {
    fn told(self) -> ProbeFailure {
        match self {
            Self::Answer(failure) => failure,
            Self::Connection(error) => of_h2(&error),
        }
    }
}

fn of_h2(error: &h2::Error) -> ProbeFailure {
    match error.get_io() {
        Some(io) => of_io(io),
        None if error.is_remote() => theirs(Fault::Reset, &format!("the endpoint ends the call: {error}")),
        None => theirs(Fault::Protocol, &format!("not HTTP/2: {error}")),
    }
}

fn bad(fault: Fault, detail: &str) -> Trouble {
    Trouble::Answer(theirs(fault, &printable(detail)))
}

async fn connect(going: &Going<'_>) -> Result<WarmGrpc, ProbeFailure> {
    let config = going.plan.tls.as_ref().map(|tls| {
        // The sessions stay shared with traffic: a clone has the same store.
        let mut config = rustls::ClientConfig::clone(&tls.config);
        config.alpn_protocols = vec![b"h2".to_vec()];
        Arc::new(config)
    });
    match open_with(going, config).await? {
        Opened::Plain(stream) => handshake(stream, going.plan).await,
        Opened::Tls(stream) if stream.get_ref().1.alpn_protocol() == Some(b"h2") => {
            handshake(stream, going.plan).await
        }
        Opened::Tls(_) => Err(theirs(Fault::Protocol, "the endpoint does not choose h2 by ALPN")),
    }
}

async fn handshake(
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    plan: &Plan,
) -> Result<WarmGrpc, ProbeFailure> {
    let limit = u32::try_from(MAX_BODY).unwrap_or(u32::MAX);
    let mut builder = h2::client::Builder::new();
    builder.max_header_list_size(limit).enable_push(false);
    let (sender, connection) = builder.handshake(stream).await.map_err(|error| of_h2(&error))?;
    let driver = Task::spawn(async move {
        // The sender learns of errors here as well.
        let _ = connection.await;
    });
    let now = Instant::now();
    let (address, tls) = (plan.address, plan.tls.clone());
    Ok(WarmGrpc { sender, address, tls, since: now, used: now, _driver: driver })
}

fn request(plan: &Plan) -> Result<Request<()>, http::Error> {
    let scheme = if plan.tls.is_some() { "https" } else { "http" };
    let uri = format!("{scheme}://{}/grpc.health.v1.Health/Check", plan.host);
    let mut request = Request::builder().method(Method::POST).uri(uri).body(())?;
    let headers: &mut HeaderMap = request.headers_mut();
    let agent = concat!("thalweg-probe/", env!("CARGO_PKG_VERSION"));
    headers.insert(header::USER_AGENT, HeaderValue::from_static(agent));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(header::TE, HeaderValue::from_static("trailers"));
    headers.insert(
        "grpc-timeout",
        HeaderValue::try_from(format!("{}m", plan.rules.timeout.as_millis().min(99_999_999)))?,
    );
    for (name, value) in &plan.probe.headers {
        headers.insert(header::HeaderName::try_from(&**name)?, HeaderValue::try_from(&**value)?);
    }
    Ok(request)
}

/// A message behind its prefix: not compressed, and its length.
fn framed(service: &str) -> Bytes {
    let message = HealthRequest { service: service.to_owned() }.encode_to_vec();
    let mut frame = BytesMut::with_capacity(5 + message.len());
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).unwrap_or_default());
    frame.put_slice(&message);
    frame.freeze()
}

async fn judge(answer: http::Response<h2::RecvStream>) -> Result<(), Trouble> {
    let (head, mut body) = answer.into_parts();
    if head.status != http::StatusCode::OK {
        return Err(bad(Fault::Status, &format!("HTTP status {}, expected 200", head.status.as_u16())));
    }
    let kind = head.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !kind.starts_with("application/grpc") {
        return Err(bad(Fault::Protocol, &format!("no gRPC: content-type is `{kind}`")));
    }
    if head.headers.contains_key("grpc-status") {
        return status(&head.headers).and_then(|()| Err(bad(Fault::Body, "no message in the answer")));
    }
    let mut content = BytesMut::new();
    while let Some(data) = body.data().await {
        let data = data?;
        if content.len() + data.len() > MAX_BODY {
            return Err(bad(Fault::Body, "longer than 64 KiB"));
        }
        body.flow_control().release_capacity(data.len())?;
        content.extend_from_slice(&data);
    }
    let trailers = body.trailers().await?;
    let trailers = trailers.ok_or_else(|| bad(Fault::Protocol, "no gRPC: the answer has no trailers"))?;
    status(&trailers)?;
    serving(&content)
}

/// Whether the call itself went well.
fn status(trailers: &HeaderMap) -> Result<(), Trouble> {
    let text = |name: &str| trailers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let code = text("grpc-status");
    if code == "0" {
        return Ok(());
    }
    let Some(name) = code.parse().ok().and_then(|nth: usize| CODES.get(nth)) else {
        return Err(bad(Fault::Protocol, &format!("no gRPC: grpc-status is `{code}`")));
    };
    let message = text("grpc-message");
    let message = if message.is_empty() { String::new() } else { format!(": {message}") };
    Err(bad(Fault::Status, &format!("gRPC status {name}{message}")))
}

/// Whether the message says SERVING.
fn serving(content: &[u8]) -> Result<(), Trouble> {
    let message = match content {
        [0, _, _, _, _, message @ ..] => HealthResponse::decode(message).ok(),
        _ => None,
    };
    let Some(HealthResponse { status }) = message else {
        return Err(bad(Fault::Body, "no health message in the answer"));
    };
    match usize::try_from(status).ok().and_then(|nth| STATES.get(nth)) {
        Some(&"SERVING") => Ok(()),
        Some(state) => Err(bad(Fault::Status, &format!("gRPC health {state}"))),
        None => Err(bad(Fault::Status, &format!("gRPC health {status}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(result: Result<(), Trouble>) -> String {
        match result.map_err(Trouble::told) {
            Ok(()) => "good".into(),
            Err(ProbeFailure::Theirs(seen)) => format!("{} {}", seen.fault.as_str(), seen.detail),
            Err(_) => "other".into(),
        }
    }

    #[test]
    fn only_a_whole_answer_that_says_serving_is_good() {
        for (content, expected) in [
            (&[0, 0, 0, 0, 2, 8, 1][..], "good"),
            (&[0, 0, 0, 0, 2, 8, 2], "status gRPC health NOT_SERVING"),
            (&[0, 0, 0, 0, 2, 8, 3], "status gRPC health SERVICE_UNKNOWN"),
            (&[0, 0, 0, 0, 2, 8, 9], "status gRPC health 9"),
            // The default of an enum is not written.
            (&[0, 0, 0, 0, 0], "status gRPC health UNKNOWN"),
            (&[1, 0, 0, 0, 2, 8, 1], "body no health message in the answer"),
            (&[0, 0, 0, 0, 1, 8], "body no health message in the answer"),
            (&[], "body no health message in the answer"),
        ] {
            assert_eq!(told(serving(content)), expected, "{content:?}");
        }
    }

    #[test]
    fn a_status_has_its_name() {
        for (code, message, expected) in [
            ("0", "", "good"),
            ("12", "", "status gRPC status UNIMPLEMENTED"),
            ("14", "try\tlater", "status gRPC status UNAVAILABLE: try later"),
            ("99", "", "protocol no gRPC: grpc-status is `99`"),
            ("", "", "protocol no gRPC: grpc-status is ``"),
        ] {
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", HeaderValue::from_str(code).unwrap());
            trailers.insert("grpc-message", HeaderValue::from_str(message).unwrap());
            assert_eq!(told(status(&trailers)), expected);
        }
    }

    #[test]
    fn a_request_is_the_message_behind_its_length() {
        assert_eq!(&*framed(""), [0, 0, 0, 0, 0]);
        assert_eq!(&*framed("a.B"), [0, 0, 0, 0, 5, 0x0a, 3, b'a', b'.', b'B']);
    }
}
