//! One probe: a request over a warm connection if there is one, and a comparison of the answer with the expectations. A
//! warm connection that the endpoint closed meanwhile is no failure: the request is sent once more over a new
//! connection. `grpc` asks in another protocol, and a probe of kind "tcp" asks nothing.

use std::{cell::Cell, io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri, header};
use http_body_util::{BodyExt, Empty};
use hyper::{
    body::Incoming,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use thalweg_config::{Probe, ProbeKind};
use thalweg_core::{Evidence, Fault, Place, Pool, PoolSlot, ProbeRules, SaidWeight, SpecSlot};
use thalweg_wire::LOCAL_HEADER;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout, timeout_at},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{
    expect::{body_fits, evidence, said_weight, status_fits, wrong_status},
    grpc::GrpcProber,
};
use crate::{
    control::supervise::Task,
    shared::fault::{fault_of, is_own, is_short, tls_fault},
    shared::{Live, UpstreamTls, Wiring, host::endpoint_authority},
};

/// Longest body that is read.
pub(super) const MAX_BODY: usize = 64 << 10;
/// Longest wait for the rest of a body that is not needed.
const DRAIN: Duration = Duration::from_millis(50);

/// What is asked of one endpoint, where, and what is expected.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where to connect.
    pub address: SocketAddr,
    /// Interval, timeout and thresholds.
    pub rules: ProbeRules,
    /// The request and the expectations.
    pub probe: Probe,
    /// The Host field.
    pub host: String,
    /// TLS settings, the same as for traffic.
    pub tls: Option<UpstreamTls>,
    /// The connection begins with a PROXY header: the edge speaks for itself (LOCAL).
    pub send_proxy: bool,
    /// Longest idle time of a warm connection; zero = none is kept.
    pub idle: Duration,
    /// Longest life of a warm connection.
    pub age: Duration,
}

impl Plan {
    /// The plan for an endpoint of the live snapshot; `None` if the endpoint is not probed.
    #[must_use]
    pub fn of(live: &Live, place: &Place, warm: bool) -> Option<Self> {
        let pool = live.snapshot.pool(place.pool)?;
        Self::at(&live.wiring, pool, (place.pool, place.spec), place.address, warm)
    }

    /// The plan for an endpoint of a pool, at one of its addresses; `None` if the endpoint is not probed.
    #[must_use]
    pub fn at(
        wiring: &Wiring,
        pool: &Pool,
        (slot, spec): (PoolSlot, SpecSlot),
        address: SocketAddr,
        warm: bool,
    ) -> Option<Self> {
        let settings = wiring.config.pools.get(slot.index())?;
        let probe = settings.probe.clone()?;
        let tls = wiring.tls_of(slot, spec).cloned();
        let port = probe.port.unwrap_or(address.port());
        let spec = pool.endpoints.get(spec.index())?;
        let authority = || endpoint_authority(&spec.host, port, tls.is_some());
        let host = probe.host.clone().or_else(|| settings.host.clone()).unwrap_or_else(authority);
        let address = SocketAddr::new(address.ip(), port);
        let keepalive = settings.keepalive;
        let idle = if warm { keepalive.idle } else { Duration::ZERO };
        // A health port of its own gets no header, as with HAProxy's checks.
        let send_proxy = settings.send_proxy && probe.port.is_none();
        let (rules, age) = (pool.probe.clone()?, keepalive.age);
        Some(Self { address, rules, probe, host, tls, send_proxy, idle, age })
    }

    /// Whether two plans ask the same at the same address and pace.
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        let tls = |plan: &Self| plan.tls.as_ref().map(|tls| (Arc::as_ptr(&tls.config), tls.name.clone()));
        (self.address, &self.rules, &self.probe, &self.host, self.send_proxy)
            == (other.address, &other.rules, &other.probe, &other.host, other.send_proxy)
            && tls(self) == tls(other)
    }

    fn request(&self) -> Result<Request<Empty<Bytes>>, http::Error> {
        let method = Method::from_bytes(self.probe.method.as_bytes())?;
        let expects_content = matches!(method, Method::POST | Method::PUT | Method::PATCH);
        let mut request =
            Request::builder().method(method).uri(Uri::try_from(&*self.probe.path)?).body(Empty::new())?;
        let headers: &mut HeaderMap = request.headers_mut();
        headers.insert(header::HOST, HeaderValue::try_from(&*self.host)?);
        let agent = concat!("thalweg-probe/", env!("CARGO_PKG_VERSION"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(agent));
        headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
        // Methods whose meaning expects content say that there is none (RFC 9110 section 8.6): strict servers answer 411.
        if expects_content {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        for (name, value) in &self.probe.headers {
            headers.insert(header::HeaderName::try_from(&**name)?, HeaderValue::try_from(&**value)?);
        }
        Ok(request)
    }
}

/// Probes one endpoint and keeps its warm connection.
#[derive(Debug, Default)]
pub struct Prober {
    warm: Option<Warm>,
    grpc: GrpcProber,
    /// What the last answer said about the endpoint, if it was good and may say something.
    pub said: Option<SaidWeight>,
}

#[derive(Debug)]
struct Warm {
    sender: SendRequest<Empty<Bytes>>,
    address: SocketAddr,
    tls: Option<UpstreamTls>,
    since: Instant,
    used: Instant,
    _driver: Task,
}

/// One probe in progress.
pub(super) struct Going<'a> {
    pub(super) plan: &'a Plan,
    deadline: Instant,
    /// The stage that the probe has reached, so that an error says where the probe stopped.
    pub(super) stage: Cell<&'static str>,
    /// How long the last TCP connect took.
    connected: Cell<Duration>,
}

/// Why a probe brought no result.
pub(super) enum ProbeFailure {
    /// The endpoint, or the path to it, is at fault.
    Theirs(Evidence),
    /// This machine lacks descriptors, ports or memory.
    Ours,
    /// A warm connection was gone.
    Stale,
}

impl Prober {
    /// Runs one probe, all of it within the plan's timeout. `None`: this machine could not ask.
    pub async fn ask(&mut self, plan: &Plan) -> Option<Result<Duration, Evidence>> {
        self.said = None;
        let deadline = Instant::now() + plan.rules.timeout;
        let going = Going { plan, deadline, stage: Cell::new("connecting"), connected: Cell::default() };
        let outcome = timeout_at(deadline, self.ask_kind(&going)).await;
        let result = match outcome {
            Ok(Ok(latency)) => Ok(latency),
            Ok(Err(ProbeFailure::Theirs(seen))) => Err(seen),
            Ok(Err(ProbeFailure::Ours)) => return None,
            Ok(Err(ProbeFailure::Stale)) => Err(evidence(Fault::Reset, "connection closed")),
            Err(_) => {
                // A later answer on this connection would be taken for the next probe's.
                self.warm = None;
                self.grpc.forget();
                let detail = format!(
                    "nothing within {} ms while {}",
                    plan.rules.timeout.as_millis(),
                    going.stage.get()
                );
                Err(evidence(Fault::Timeout, &detail))
            }
        };
        Some(result)
    }

    async fn ask_kind(&mut self, going: &Going<'_>) -> Result<Duration, ProbeFailure> {
        match &going.plan.probe.kind {
            ProbeKind::Http => self.ask_twice(going).await,
            ProbeKind::Grpc { service } => self.grpc.ask(going, service).await,
            ProbeKind::Tcp => only_connect(going).await,
        }
    }

    async fn ask_twice(&mut self, going: &Going<'_>) -> Result<Duration, ProbeFailure> {
        if let Some(warm) = self.warm.take().filter(|warm| warm.serves(going.plan)) {
            match self.ask_once(warm, going, true).await {
                Err(ProbeFailure::Stale) => {}
                done => return done,
            }
        }
        let warm = connect(going).await?;
        self.ask_once(warm, going, false).await
    }

    async fn ask_once(
        &mut self,
        mut warm: Warm,
        going: &Going<'_>,
        reused: bool,
    ) -> Result<Duration, ProbeFailure> {
        let stale_or = |error: &hyper::Error| match reused {
            true if !error.is_parse() => ProbeFailure::Stale,
            _ => of_hyper(error),
        };
        let request = going.plan.request().map_err(|error| theirs(Fault::Protocol, &error.to_string()))?;
        going.stage.set("waiting for the head of the answer");
        warm.sender.ready().await.map_err(|error| stale_or(&error))?;
        let sent = Instant::now();
        let response = warm.sender.send_request(request).await.map_err(|error| stale_or(&error))?;
        let latency = sent.elapsed();
        going.stage.set("reading the body of the answer");
        let Judged { verdict, clean, said } = judge(going.plan, response, going.deadline).await;
        self.said = said;
        if clean && !going.plan.idle.is_zero() {
            warm.used = Instant::now();
            self.warm = Some(warm);
        }
        verdict.map(|()| latency)
    }
}

impl Warm {
    fn serves(&self, plan: &Plan) -> bool {
        let config =
            |tls: &Option<UpstreamTls>| tls.as_ref().map(|tls| (Arc::as_ptr(&tls.config), tls.name.clone()));
        !self.sender.is_closed()
            && self.address == plan.address
            && config(&self.tls) == config(&plan.tls)
            && self.used.elapsed() < plan.idle
            && self.since.elapsed() < plan.age
    }
}

/// An answer beside the expectations.
struct Judged {
    verdict: Result<(), ProbeFailure>,
    /// Nothing of the answer is left on the connection.
    clean: bool,
    said: Option<SaidWeight>,
}

/// Compares an answer with the expectations, and reads what it says about the endpoint.
async fn judge(plan: &Plan, response: Response<Incoming>, deadline: Instant) -> Judged {
    let weighs = plan.rules.weight_from_body;
    let judged = |verdict, clean| Judged { verdict, clean, said: None };
    let (head, body) = response.into_parts();
    let keep_alive = head.headers.get(header::CONNECTION).is_none_or(|value| value != "close");
    if !status_fits(&plan.probe, head.status) {
        let (said, clean) = match timeout(DRAIN, read(body)).await {
            Ok(Ok((said, clean))) => (said, clean),
            _ => (Bytes::new(), false),
        };
        let seen = wrong_status(&plan.probe, head.status, &said);
        return judged(Err(ProbeFailure::Theirs(seen)), clean && keep_alive);
    }
    if plan.probe.expect_json.is_empty() && !weighs {
        let drained = timeout_at(deadline.min(Instant::now() + DRAIN), read(body)).await;
        return judged(Ok(()), keep_alive && matches!(drained, Ok(Ok((_, true)))));
    }
    match read(body).await {
        Ok((_, false)) => judged(Err(theirs(Fault::Body, "longer than 64 KiB")), false),
        Ok((body, true)) => {
            let wanted = !plan.probe.expect_json.is_empty();
            let verdict = if wanted { body_fits(&plan.probe, &body) } else { Ok(()) };
            let said = (weighs && verdict.is_ok()).then(|| said_weight(&body));
            Judged { verdict: verdict.map_err(ProbeFailure::Theirs), clean: keep_alive, said }
        }
        Err(error) => judged(Err(of_hyper(&error)), false),
    }
}

/// Reads a body up to [`MAX_BODY`]. The flag: that was all of it.
async fn read(mut body: Incoming) -> Result<(Bytes, bool), hyper::Error> {
    let mut content = BytesMut::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            if content.len() + data.len() > MAX_BODY {
                return Ok((content.freeze(), false));
            }
            content.extend_from_slice(&data);
        }
    }
    Ok((content.freeze(), true))
}

async fn connect(going: &Going<'_>) -> Result<Warm, ProbeFailure> {
    match open(going).await? {
        Opened::Plain(stream) => handshake(stream, going.plan).await,
        Opened::Tls(stream) => handshake(stream, going.plan).await,
    }
}

/// A new connection to the endpoint.
pub(super) enum Opened {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Connects as traffic does.
async fn open(going: &Going<'_>) -> Result<Opened, ProbeFailure> {
    open_with(going, going.plan.tls.as_ref().map(|tls| Arc::clone(&tls.config))).await
}

/// Connects as traffic does, but with this TLS config.
pub(super) async fn open_with(
    going: &Going<'_>,
    config: Option<Arc<rustls::ClientConfig>>,
) -> Result<Opened, ProbeFailure> {
    let plan = going.plan;
    going.stage.set("connecting");
    let began = Instant::now();
    let stream = TcpStream::connect(plan.address).await;
    let mut stream = stream.map_err(|error| of_connect(&error, plan.address))?;
    going.connected.set(began.elapsed());
    // A small request is one segment anyway; an error here shows up again below.
    let _ = stream.set_nodelay(true);
    if plan.send_proxy {
        stream.write_all(&LOCAL_HEADER).await.map_err(|error| of_io(&error))?;
    }
    let Some((tls, config)) = plan.tls.as_ref().zip(config) else { return Ok(Opened::Plain(stream)) };
    going.stage.set("shaking hands for TLS");
    let stream = TlsConnector::from(config).connect(tls.name.clone(), stream).await;
    Ok(Opened::Tls(Box::new(stream.map_err(|error| of_io(&error))?)))
}

/// A connection that is closed again. Its time is that of the TCP connect: one round trip, as for a request on a warm
/// connection.
async fn only_connect(going: &Going<'_>) -> Result<Duration, ProbeFailure> {
    if let Opened::Tls(mut stream) = open(going).await? {
        // Servers log a TLS connection that ends without a word.
        let _ = timeout(DRAIN, stream.shutdown()).await;
    }
    Ok(going.connected.get())
}

async fn handshake(
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    plan: &Plan,
) -> Result<Warm, ProbeFailure> {
    let handshake = http1::Builder::new().max_buf_size(MAX_BODY).handshake(TokioIo::new(stream)).await;
    let (sender, connection) = handshake.map_err(|error| of_hyper(&error))?;
    let driver = Task::spawn(async move {
        // The sender learns of errors here as well.
        let _ = connection.await;
    });
    let now = Instant::now();
    let (address, tls) = (plan.address, plan.tls.clone());
    Ok(Warm { sender, address, tls, since: now, used: now, _driver: driver })
}

pub(super) fn theirs(fault: Fault, detail: &str) -> ProbeFailure {
    ProbeFailure::Theirs(evidence(fault, detail))
}

fn ours(error: &io::Error) -> ProbeFailure {
    tracing::warn!(%error, "probe skipped");
    ProbeFailure::Ours
}

fn of_connect(error: &io::Error, address: SocketAddr) -> ProbeFailure {
    if is_own(error, address) { ours(error) } else { of_io(error) }
}

pub(super) fn of_io(error: &io::Error) -> ProbeFailure {
    match tls_fault(error) {
        Some(fault) => theirs(fault, &error.to_string()),
        None if is_short(error) => ours(error),
        None => theirs(fault_of(error), &error.to_string()),
    }
}

fn of_hyper(error: &hyper::Error) -> ProbeFailure {
    let io = std::error::Error::source(error).and_then(|source| source.downcast_ref::<io::Error>());
    match io {
        Some(io) => of_io(io),
        None if error.is_incomplete_message() || error.is_canceled() || error.is_closed() => {
            theirs(Fault::Reset, "closed before the answer ended")
        }
        None => theirs(Fault::Protocol, &error.to_string()),
    }
}
