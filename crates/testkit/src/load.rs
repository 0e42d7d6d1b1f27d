//! Open-loop load: requests are sent when they are due, whether or not earlier ones have ended, so that a stall shows in
//! the latency of each request that it delayed. Every request has its own `X-Request-Id`; an answer with another one
//! in `X-For` is a failure. The connections are in `sender`.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use rustls::ClientConfig;
use tokio::task::JoinHandle;

use self::sender::{Sender, checkout, kind, put_back};
use crate::{Outcome, Report, Shot, lock, runtime};

mod sender;

/// What to send; made by [`Load::to`], sent by [`Load::run`] or [`Load::start`].
#[derive(Clone, Debug)]
pub struct Load {
    addr: SocketAddr,
    rate: f64,
    count: u64,
    posts: f64,
    fresh: f64,
    path: String,
    post_path: Option<String>,
    host: String,
    body: Bytes,
    echoed: bool,
    signed: Option<usize>,
    tls: Option<Arc<ClientConfig>>,
    h2: bool,
    timeout: Duration,
    prefix: String,
}

impl Load {
    /// 200 GETs per second on `/`, over kept connections, without an end.
    pub fn to(addr: SocketAddr) -> Self {
        static SERIAL: AtomicU64 = AtomicU64::new(0);
        Self {
            addr,
            rate: 200.0,
            count: u64::MAX,
            posts: 0.0,
            fresh: 0.0,
            path: "/".to_owned(),
            post_path: None,
            host: "api.test".to_owned(),
            body: Bytes::from_static(b"{\"n\":1}"),
            echoed: false,
            signed: None,
            tls: None,
            h2: false,
            timeout: Duration::from_secs(20),
            prefix: format!("load{}-{}", std::process::id(), SERIAL.fetch_add(1, Ordering::Relaxed)),
        }
    }

    /// Requests per second.
    pub fn rate(mut self, rate: f64) -> Self {
        self.rate = rate;
        self
    }

    /// Stops after this many.
    pub fn count(mut self, count: u64) -> Self {
        self.count = count;
        self
    }

    /// This share of the requests are POSTs.
    pub fn posts(mut self, share: f64) -> Self {
        self.posts = share;
        self
    }

    /// This share of the requests open a connection of their own.
    pub fn fresh(mut self, share: f64) -> Self {
        self.fresh = share;
        self
    }

    /// The path.
    pub fn path(mut self, path: &str) -> Self {
        path.clone_into(&mut self.path);
        self
    }

    /// Another path for POSTs.
    pub fn post_path(mut self, path: &str) -> Self {
        self.post_path = Some(path.to_owned());
        self
    }

    /// The host; over TLS also the server name.
    pub fn host(mut self, host: &str) -> Self {
        host.clone_into(&mut self.host);
        self
    }

    /// The body of POSTs.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Each POST has its own id as its body and must get it back: an answer to something else is a failure.
    pub fn echoed(mut self) -> Self {
        self.echoed = true;
        self
    }

    /// Each 200 must name its request in `X-For`, and be this long if it answers a GET: anything else is a failure.
    pub fn signed(mut self, length: usize) -> Self {
        self.signed = Some(length);
        self
    }

    /// Over TLS.
    pub fn tls(mut self, config: Arc<ClientConfig>) -> Self {
        self.tls = Some(config);
        self
    }

    /// Over HTTP/2: with TLS if given, else with prior knowledge.
    pub fn h2(mut self) -> Self {
        self.h2 = true;
        self
    }

    /// An answer that takes longer has failed.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sends until the count is reached.
    pub fn run(self) -> Report {
        assert!(self.count < u64::MAX, "a load without an end must be started, not run");
        self.start().join()
    }

    /// Starts sending.
    pub fn start(self) -> Running {
        let shared = Arc::new(LoadState {
            load: self,
            idle: Mutex::default(),
            shots: Mutex::default(),
            closed: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            stop: AtomicBool::new(false),
        });
        let began = Instant::now();
        let task = runtime().spawn(pace(Arc::clone(&shared), began));
        Running { shared, task, began }
    }
}

/// A load that is being sent.
#[derive(Debug)]
pub struct Running {
    shared: Arc<LoadState>,
    task: JoinHandle<()>,
    /// The start of every `due_us`.
    pub began: Instant,
}

impl Running {
    /// How many requests have ended so far.
    pub fn done(&self) -> usize {
        lock(&self.shared.shots).len()
    }

    /// How often each endpoint answered among this many last requests.
    pub fn last(&self, count: usize) -> Vec<Shot> {
        let shots = lock(&self.shared.shots);
        shots[shots.len().saturating_sub(count)..].to_vec()
    }

    /// Stops sending, waits for the requests in flight, and reports.
    pub fn stop(self) -> Report {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.join()
    }

    /// Waits for the end, and reports.
    pub fn join(self) -> Report {
        runtime().block_on(self.task).expect("the load generator does not panic");
        self.shared.stop.store(true, Ordering::SeqCst);
        let number = |counter: &AtomicU64| counter.load(Ordering::SeqCst);
        let shots = std::mem::take(&mut *lock(&self.shared.shots));
        let report = Report::new(shots, number(&self.shared.closed));
        Report { sent: number(&self.shared.sent), ..report }
    }
}

#[derive(Debug)]
struct LoadState {
    load: Load,
    idle: Mutex<Vec<Sender>>,
    shots: Mutex<Vec<Shot>>,
    closed: AtomicU64,
    sent: AtomicU64,
    stop: AtomicBool,
}

/// Sends each request when it is due.
async fn pace(shared: Arc<LoadState>, began: Instant) {
    let load = &shared.load;
    let mut tasks = tokio::task::JoinSet::new();
    let mut ticks = tokio::time::interval(Duration::from_millis(2));
    let mut nth = 0;
    while nth < load.count && !shared.stop.load(Ordering::SeqCst) {
        ticks.tick().await;
        let due = (began.elapsed().as_secs_f64() * load.rate) as u64 + 1;
        while nth < due.min(load.count) {
            let at = Duration::from_secs_f64(nth as f64 / load.rate);
            let late = began.elapsed().saturating_sub(at).as_micros();
            let late_us = u64::try_from(late).unwrap_or(u64::MAX);
            tasks.spawn(shoot(Arc::clone(&shared), nth, began, (at, late_us)));
            nth += 1;
        }
        shared.sent.store(nth, Ordering::SeqCst);
        while tasks.try_join_next().is_some() {}
    }
    while tasks.join_next().await.is_some() {}
}

/// Whether the nth of an evenly spread share falls on `nth`.
fn falls(nth: u64, share: f64) -> bool {
    ((nth + 1) as f64 * share).floor() > (nth as f64 * share).floor()
}

async fn shoot(shared: Arc<LoadState>, nth: u64, began: Instant, (at, late_us): (Duration, u64)) {
    let load = &shared.load;
    let post = falls(nth, load.posts);
    let id = format!("{}-{nth}", load.prefix);
    let (outcome, by) = match tokio::time::timeout(load.timeout, exchange(&shared, nth, post, &id)).await {
        Ok(seen) => seen,
        Err(_) => (Outcome::Failed("timeout".to_owned()), String::new()),
    };
    let latency = began.elapsed().saturating_sub(at);
    let latency_us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
    let due_us = u64::try_from(at.as_micros()).unwrap_or(u64::MAX);
    lock(&shared.shots).push(Shot { id, post, outcome, latency_us, by, due_us, late_us });
}

async fn exchange(shared: &Arc<LoadState>, nth: u64, post: bool, id: &str) -> (Outcome, String) {
    let load = &shared.load;
    let fresh = falls(nth, load.fresh);
    let mut sender = match checkout(shared, fresh).await {
        Ok(sender) => sender,
        Err(error) => return (Outcome::Failed(kind(&error)), String::new()),
    };
    let own = if load.echoed { Bytes::from(id.to_owned()) } else { load.body.clone() };
    let (method, body) = if post { (Method::POST, own.clone()) } else { (Method::GET, Bytes::new()) };
    let path = load.post_path.as_ref().filter(|_| post).unwrap_or(&load.path);
    let uri = match &sender {
        Sender::One(..) => path.clone(),
        Sender::Two(_) => format!("https://{}{path}", load.host),
    };
    let mut request = Request::builder().method(method).uri(uri).header("x-request-id", id);
    if matches!(sender, Sender::One(..)) {
        request = request.header("host", &load.host);
    }
    let request = request.body(Full::new(body)).expect("our own request is valid");
    let answer = match &mut sender {
        Sender::One(sender, _) => sender.send_request(request).await,
        Sender::Two(sender) => sender.send_request(request).await,
    };
    let (parts, body) = match answer {
        Ok(answer) => answer.into_parts(),
        Err(error) => return (Outcome::Failed(kind(&error)), String::new()),
    };
    let status = parts.status.as_u16();
    let Ok(whole) = body.collect().await else {
        return (Outcome::CutAfterHead(status), String::new());
    };
    let whole = whole.to_bytes();
    if load.echoed && post && status == 200 && whole != own {
        return (Outcome::Failed("another answer".to_owned()), String::new());
    }
    let named = parts.headers.get("x-for").map(|value| value.as_bytes() == id.as_bytes());
    let whose = load
        .signed
        .filter(|_| status == 200)
        .map_or(named != Some(false), |length| named == Some(true) && (post || whole.len() == length));
    if !whose {
        return (Outcome::Failed("another answer".to_owned()), String::new());
    }
    let told = parts.headers.get("x-endpoint").and_then(|name| name.to_str().ok()).map(str::to_owned);
    let by = told.unwrap_or_else(|| region(&whole));
    put_back(shared, sender, fresh);
    (Outcome::Status(status), by)
}

fn region(body: &[u8]) -> String {
    let json: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    json["region"].as_str().unwrap_or_default().to_owned()
}
