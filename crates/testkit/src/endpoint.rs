//! A fake HTTP/1.1 endpoint in this process: its behaviour is switched while it runs, and it records what arrives.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{net::TcpStream, task::AbortHandle};
use tokio_rustls::TlsAcceptor;

use crate::{
    Behaviour, Health, Reserved, Seen, endpoint_state::EndpointState, lock, message::Conn, runtime, serve,
    wire::Wire,
};

/// The endpoint. Under [`Behaviour::Serve`] it answers by path:
///
/// `/bytes/N` N bytes with a length · `/chunked/N` N bytes in chunks · `/trailers` chunks and a trailer ·
/// `/until-close/N` N bytes, the end of the connection ends them · `/echo` the body back as it comes · `/upload` reads all of it, answers
/// `{"bytes","hash"}` · `/status/N` · `/sse` five events 50 ms apart, then open · `/ws` 101 and bytes back if asked to upgrade · `/no-ws` 200 even
/// then · `/hop` an answer full of hop-by-hop fields · else a small JSON. Every answer has `X-Endpoint: NAME`.
#[derive(Debug)]
pub struct Endpoint {
    shared: Arc<EndpointState>,
    reserved: Reserved,
    accepting: Mutex<Option<AbortHandle>>,
}

impl Endpoint {
    /// Starts one on 127.0.0.1.
    pub fn start(name: &str) -> Self {
        Self::start_on(name, IpAddr::V4(Ipv4Addr::LOCALHOST))
    }

    /// Starts one on this address.
    pub fn start_on(name: &str, ip: IpAddr) -> Self {
        Self::start_at(name, SocketAddr::new(ip, 0), None)
    }

    /// Starts one that speaks TLS.
    pub fn start_tls(name: &str, config: Arc<rustls::ServerConfig>) -> Self {
        Self::start_at(name, SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0), Some(config))
    }

    /// Starts one exactly here (port 0 = any).
    pub fn start_at(name: &str, addr: SocketAddr, tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        let shared = EndpointState {
            name: name.to_owned(),
            behaviour: Mutex::default(),
            health: Mutex::default(),
            seen: Mutex::default(),
            served: AtomicU64::new(0),
            probes: AtomicU64::new(0),
            accepted: AtomicU64::new(0),
            open: AtomicU64::new(0),
            abandoned: AtomicU64::new(0),
            connections: Mutex::default(),
            tls: Mutex::new(tls),
        };
        let endpoint =
            Self { shared: Arc::new(shared), reserved: Reserved::at(addr), accepting: Mutex::new(None) };
        endpoint.listen();
        endpoint
    }

    /// A hash of bytes as [`Seen::body_hash`] has it.
    pub fn hash(bytes: &[u8]) -> u64 {
        use std::hash::Hasher;
        let mut hasher = std::hash::DefaultHasher::new();
        hasher.write(bytes);
        hasher.finish()
    }

    /// Its address, which never changes.
    pub fn addr(&self) -> SocketAddr {
        self.reserved.addr()
    }

    /// Its name, as `X-Endpoint` has it.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Answers ordinary requests like this from now on.
    pub fn behave(&self, behaviour: Behaviour) {
        *lock(&self.shared.behaviour) = behaviour;
    }

    /// Answers `/health` like this from now on.
    pub fn health(&self, health: Health) {
        *lock(&self.shared.health) = health;
    }

    /// Serves another certificate from the next connection on.
    pub fn present(&self, config: Arc<rustls::ServerConfig>) {
        *lock(&self.shared.tls) = Some(config);
    }

    /// Closes the listener: a connect is refused. Open connections live on.
    pub fn refuse(&self) {
        if let Some(accepting) = lock(&self.accepting).take() {
            accepting.abort();
        }
        let addr = self.addr();
        crate::eventually("the listener is closed", Duration::from_secs(5), || {
            std::net::TcpStream::connect(addr).is_err()
        });
    }

    /// Like a killed process: no listener, and every connection is reset.
    pub fn die(&self) {
        self.refuse();
        self.cut();
    }

    /// Ends every open connection now.
    pub fn cut(&self) {
        for (_, connection) in std::mem::take(&mut *lock(&self.shared.connections)) {
            connection.abort();
        }
    }

    /// Listens again, on the same address.
    pub fn revive(&self) {
        if lock(&self.accepting).is_none() {
            self.listen();
        }
    }

    /// Every request but probes, in order of arrival of its end.
    pub fn requests(&self) -> Vec<Seen> {
        lock(&self.shared.seen).clone()
    }

    /// The one request it must have seen.
    pub fn only(&self) -> Seen {
        let mut seen = self.requests();
        assert_eq!(seen.len(), 1, "{} saw {} requests, not one", self.shared.name, seen.len());
        seen.remove(0)
    }

    /// Forgets the requests it saw.
    pub fn forget(&self) {
        lock(&self.shared.seen).clear();
    }

    /// How many requests but probes it saw.
    pub fn hits(&self) -> usize {
        lock(&self.shared.seen).len()
    }

    /// How often each `X-Request-Id` arrived.
    pub fn ids(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for seen in lock(&self.shared.seen).iter() {
            if let Some(id) = seen.header("x-request-id") {
                *counts.entry(id.to_owned()).or_default() += 1;
            }
        }
        counts
    }

    /// How many probes it saw.
    pub fn probes(&self) -> u64 {
        self.shared.probes.load(Ordering::SeqCst)
    }

    /// How many connections it ever accepted.
    pub fn connections(&self) -> u64 {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// How many of them are open.
    pub fn open_connections(&self) -> u64 {
        self.shared.open.load(Ordering::SeqCst)
    }

    /// The number of connections that the other side closed while an answer was due.
    pub fn abandoned(&self) -> u64 {
        self.shared.abandoned.load(Ordering::SeqCst)
    }

    fn listen(&self) {
        let listener = self.reserved.listen();
        let shared = Arc::clone(&self.shared);
        let task = runtime().spawn(async move {
            loop {
                match listener.accept().await {
                    Ok((tcp, _)) => accepted(&shared, tcp),
                    Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                }
            }
        });
        *lock(&self.accepting) = Some(task.abort_handle());
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        if let Some(accepting) = lock(&self.accepting).take() {
            accepting.abort();
        }
        self.cut();
    }
}

/// Takes one connection and gives it a task.
fn accepted(shared: &Arc<EndpointState>, tcp: TcpStream) {
    let nth = shared.accepted.fetch_add(1, Ordering::SeqCst) + 1;
    if *lock(&shared.behaviour) == Behaviour::ResetOnAccept {
        let _gone_is_fine = tcp.set_zero_linger();
        return;
    }
    let _bare_is_fine = tcp.set_nodelay(true);
    let ours = Arc::clone(shared);
    let tls = lock(&shared.tls).clone();
    // Locked while the task is added, so that the task cannot remove itself before that.
    let mut connections = lock(&shared.connections);
    let task = runtime().spawn(async move {
        let _open = Open::new(Arc::clone(&ours), nth);
        let wire = match tls {
            None => Wire::Plain(tcp),
            Some(config) => match TlsAcceptor::from(config).accept(tcp).await {
                Ok(tls) => Wire::Tls(Box::new(tls)),
                Err(_) => return,
            },
        };
        let _ends_with_its_connection = serve::connection(&ours, Conn::new(wire), nth).await;
    });
    connections.insert(nth, task.abort_handle());
}

/// Counts an open connection, however its task ends.
struct Open {
    shared: Arc<EndpointState>,
    nth: u64,
}

impl Open {
    fn new(shared: Arc<EndpointState>, nth: u64) -> Self {
        shared.open.fetch_add(1, Ordering::SeqCst);
        Self { shared, nth }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.shared.open.fetch_sub(1, Ordering::SeqCst);
        lock(&self.shared.connections).remove(&self.nth);
    }
}

/// An address where a connect neither succeeds nor fails: its accept queue is full and no process accepts.
#[derive(Debug)]
pub struct Blackhole {
    addr: SocketAddr,
    _listener: tokio::net::TcpListener,
    _fill: Vec<std::net::TcpStream>,
}

impl Blackhole {
    /// Opens one on 127.0.0.1 and fills its queue.
    pub fn start() -> Self {
        let listener = {
            let _inside = runtime().enter();
            let socket = tokio::net::TcpSocket::new_v4().expect("a socket can be opened");
            socket.bind((Ipv4Addr::LOCALHOST, 0).into()).expect("a free port can be bound");
            socket.listen(1).expect("a bound socket can listen")
        };
        let addr = listener.local_addr().expect("a bound socket has an address");
        let mut fill = Vec::new();
        while let Ok(stream) = std::net::TcpStream::connect_timeout(&addr, Duration::from_millis(200)) {
            fill.push(stream);
            assert!(fill.len() < 64, "the accept queue never fills");
        }
        Self { addr, _listener: listener, _fill: fill }
    }

    /// Its address.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
}
