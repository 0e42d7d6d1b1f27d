//! Room 1, ACCEPT: sockets to connections. TLS, the choice of protocol, and the limit on connections. Never reads a
//! request.

use std::{
    cell::RefCell, future::poll_fn, net::SocketAddr, pin::Pin, rc::Rc, sync::Arc, task::Poll, time::Duration,
};

use futures_util::FutureExt as _;
use thalweg_config::Listener;
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    time::{Instant, timeout},
};

use crate::{
    data::{
        conn::{ClientConn, ClientIo},
        handshake,
        local::Local,
        proxy_protocol::{ProxyOpening, begin},
        session,
        source::RequestSource,
        tcp,
    },
    shared::BACKLOG,
    shared::{
        Wiring,
        clients::ClientPlace,
        meters::{Cell as Count, Series},
        telemetry,
    },
};

/// Connections above the limit that are still answered with 503; further connections are closed at once.
pub(super) const SURPLUS: u64 = 256;

/// Time that a connection has for a complete head when there is little room: enough for a TLS handshake over a long way.
const HEADLESS: Duration = Duration::from_secs(1);

/// A connection that was answered a moment ago is kept: its client probably has more to ask.
const IDLE: Duration = Duration::from_secs(1);

/// How long clients may remember that a listener speaks HTTP/3. A client that finds no answer there comes back over TCP.
const ALTERNATIVE: Duration = Duration::from_hours(1);

/// Pause after the kernel could not give a socket for want of descriptors or memory.
const BREATH: Duration = Duration::from_millis(50);

/// One listening socket of this worker.
#[derive(Debug)]
pub struct ListenSocket {
    /// The listener's number in this worker, and its configured name.
    pub name: (u32, Arc<str>),
    /// The last config that has this listener, and the listener's position in it: a closing socket's queue may outlive
    /// it.
    last: RefCell<Option<(Arc<Wiring>, usize)>>,
}

impl ListenSocket {
    /// A listening socket of the listener with this name.
    #[must_use]
    pub fn new(name: (u32, Arc<str>)) -> Self {
        Self { name, last: RefCell::default() }
    }

    /// The last config that has this listener, and the listener's position in it.
    pub(super) fn settings(&self, local: &Local) -> Option<(Arc<Wiring>, usize)> {
        let wiring = &local.view().wiring;
        let mut last = self.last.borrow_mut();
        if last.as_ref().is_none_or(|(known, _)| !Arc::ptr_eq(known, wiring))
            && let Some(position) =
                wiring.config.listeners.iter().position(|listener| *listener.name == *self.name.1)
        {
            *last = Some((Arc::clone(wiring), position));
        }
        last.clone()
    }
}

/// Accepts until `closed`. Then takes the connections that wait in the accept queue, so that closing the socket resets
/// no client.
pub async fn accept(
    local: Rc<Local>,
    listen_socket: ListenSocket,
    socket: TcpListener,
    mut closed: tokio::sync::oneshot::Receiver<()>,
) {
    let open = local.meters().cell(Series::new(&telemetry::CONNECTIONS, &[&listen_socket.name.1]));
    let open = Rc::new(OpenConnections::new(&local, open));
    // Looked up at the start: the next config may no longer have this listener.
    let _ = listen_socket.settings(&local);
    loop {
        let accepted = tokio::select! {
            biased;
            _ = &mut closed => break,
            accepted = socket.accept() => accepted,
        };
        match accepted {
            Ok((stream, client_addr)) => _ = admit(&local, &listen_socket, stream, client_addr, &open),
            Err(error) if is_exhaustion(&error) => {
                tracing::warn!(%error, listener = %listen_socket.name.1, "cannot accept");
                tokio::time::sleep(BREATH).await;
            }
            // The client went away between its handshake and this accept.
            Err(_) => {}
        }
    }
    // Ask the queue itself, not the reactor, and only once per entry: clients go on connecting as long as the socket is
    // open.
    let Ok(queue) = socket.into_std() else { return };
    for _ in 0..BACKLOG {
        let Ok((stream, client_addr)) = queue.accept() else { return };
        if stream.set_nonblocking(true).is_ok()
            && let Ok(stream) = TcpStream::from_std(stream)
            && let Some(conn) = admit(&local, &listen_socket, stream, client_addr, &open)
        {
            conn.accepted_while_closing.set(true);
        }
    }
}

fn is_exhaustion(error: &std::io::Error) -> bool {
    // EMFILE, ENFILE, ENOBUFS, ENOMEM
    matches!(error.raw_os_error(), Some(24 | 23 | 105 | 12))
}

/// Starts the task of one connection, unless far too many are open.
fn admit(
    local: &Rc<Local>,
    listen_socket: &ListenSocket,
    stream: TcpStream,
    client_addr: SocketAddr,
    open: &Rc<OpenConnections>,
) -> Option<Rc<ClientConn>> {
    let (wiring, position) = listen_socket.settings(local)?;
    let listener = wiring.config.listeners.get(position)?;
    let (http1, http2) = (listener.http1, listener.http2);
    let pass_through = listener.pass_through.clone();
    let tls = wiring.listener_tls.get(position).cloned().flatten();
    let view = local.view();
    let (now_open, limit) = (local.client_connections(), view.wiring.max_connections as u64);
    let proxy_protocol = listener.front.proxy_protocol.clone();
    // A balancer's connection counts for the client that its header names.
    let is_balancer = proxy_protocol.as_ref().is_some_and(|rules| rules.from.contain(client_addr.ip()));
    let made = make_room(local, &listen_socket.name.1, (now_open, limit));
    if now_open >= limit + SURPLUS.min(limit) {
        return None;
    }
    // Small answers must not wait for an acknowledgement. If the option cannot be set, the socket is already dead.
    stream.set_nodelay(true).ok()?;
    let surplus = now_open >= limit && made == 0;
    let conn = record_of(local, (listen_socket, listener), (&stream, client_addr), surplus);
    let mut place = if is_balancer { None } else { take_place(local, &conn)? };
    let guard = ConnectionGuard::enter(&conn, open);
    let (local, admitted) = (Rc::clone(local), Rc::clone(&conn));
    if tls.is_none() && proxy_protocol.is_none() && pass_through.is_none() && !http2 {
        // A silent connection holds no room for the other ways to begin.
        let session = session::http1(local, Rc::clone(&conn), ClientIo::plain(stream, conn));
        tokio::task::spawn_local(session.map(move |()| drop((guard, place))));
        return Some(admitted);
    }
    tokio::task::spawn_local(async move {
        let (_guard, mut stream) = (guard, stream);
        let before_http = local.limits().header_timeout;
        let mute = tls.is_some() || pass_through.is_some();
        let until = (mute || proxy_protocol.is_some()).then(|| Instant::now() + before_http);
        if let (Some(rules), Some(until)) = (proxy_protocol, until) {
            let beginning = ProxyOpening { rules: &rules, until, mute };
            // Boxed, so that the futures of other connections do not hold room for it.
            let begun = unless_killed(&conn, Box::pin(begin(&local, &conn, stream, beginning))).await;
            match begun.map(|stream| {
                (stream, if is_balancer { take_place(&local, &conn) } else { Some(place.take()) })
            }) {
                Some((begun, Some(taken))) => (stream, place) = (begun, taken),
                _ => return,
            }
        }
        let _place = place;
        let opened = match tls {
            // This arm does not wait for anything, so the future of a silent connection stays small.
            None if http1 != http2 || pass_through.is_some() => {
                Some((ClientIo::plain(stream, Rc::clone(&conn)), http2))
            }
            // Boxed, so that the futures of other connections do not hold room for it.
            None => {
                let told = told_apart(&conn, stream, local.limits().header_timeout);
                unless_killed(&conn, Box::pin(told)).await
            }
            Some(config) => {
                let until = until.unwrap_or_else(|| Instant::now() + before_http);
                let secured = handshake::secure(&local, &conn, stream, (config, until));
                unless_killed(&conn, Box::pin(secured)).await
            }
        };
        match (opened, pass_through) {
            (Some((io, _)), Some(rules)) => Box::pin(tcp::serve(local, conn, io, (rules, until))).await,
            (Some((io, true)), None) => Box::pin(session::http2(local, conn, io)).await,
            (Some((io, false)), None) if http1 => session::http1(local, conn, io).await,
            // HTTP/2 over TLS needs ALPN (RFC 9113 section 3.2), and this listener speaks nothing else.
            (Some((mut io, false)), None) => drop(io.shutdown().await),
            (None, _) => {}
        }
    });
    Some(admitted)
}

/// The record of a connection that was just accepted.
fn record_of(
    local: &Local,
    (listen_socket, listener): (&ListenSocket, &Listener),
    (stream, client_addr): (&TcpStream, SocketAddr),
    surplus: bool,
) -> Rc<ClientConn> {
    let mut source = RequestSource::new(client_addr);
    if local.view().wiring.sends_proxy {
        source.destination = stream.local_addr().ok();
    }
    let forwarders = listener.front.forwarders.clone();
    let conn = ClientConn::new(listen_socket.name.clone(), (source, forwarders), surplus, local.clock());
    if let (true, Ok(addr)) = (listener.http3, stream.local_addr()) {
        let _ = conn.alt_svc.set(alt_svc(addr.port()));
    }
    conn.tcp.set(listener.pass_through.is_some());
    conn
}

/// The field that tells clients of HTTP/3 on the same port (RFC 7838 section 3).
fn alt_svc(port: u16) -> Box<str> {
    format!("h3=\":{port}\"; ma={}", ALTERNATIVE.as_secs()).into()
}

/// Counts a connection for its client; `None` if the client has as many as it may. A trusted proxy has the connections of
/// many clients, and no cap.
pub(super) fn take_place(local: &Local, conn: &ClientConn) -> Option<Option<ClientPlace>> {
    let cap = local.limits().per_client;
    if cap == 0 || conn.forwarders().is_some() {
        return Some(None);
    }
    let place = local.place_of(conn.source().ip(), cap);
    if place.is_none() {
        local.meters().shed(&conn.listener, "per_client", 1);
    }
    place.map(Some)
}

/// From nine tenths of the limit on, lets connections go that serve no request, so that one client with many of them does
/// not keep the others out: the oldest without a complete head, which have [`HEADLESS`] at least below the limit, and if
/// there are none, those that have waited longest for their next request. Returns how many go.
pub(super) fn make_room(local: &Local, listener: &Arc<str>, (now_open, limit): (u64, u64)) -> u64 {
    if now_open < limit - limit / 10 {
        return 0;
    }
    let (cause, count) = match local.shed_headless(if now_open < limit { HEADLESS } else { Duration::ZERO }) {
        0 => ("idle", local.shed_idle(IDLE) as u64),
        headless => ("headless", headless as u64),
    };
    if count > 0 {
        local.meters().shed(listener, cause, count);
    }
    count
}

/// Tells HTTP/1.1 and HTTP/2 with prior knowledge apart by the HTTP/2 preface. `None`: the connection was told to
/// close, or the client sent too little for too long.
async fn told_apart(
    conn: &Rc<ClientConn>,
    stream: TcpStream,
    header_timeout: Duration,
) -> Option<(ClientIo, bool)> {
    let io = ClientIo::plain(stream, Rc::clone(conn));
    session::first_byte(conn, &io).await?;
    let is_http2 = timeout(header_timeout, io.begins_with(b"PRI ")).await.ok()??;
    Some((io, is_http2))
}

/// Waits for the opening of a connection; `None` when the connection is told to close first.
pub(super) async fn unless_killed<T>(
    conn: &ClientConn,
    mut opening: Pin<Box<impl Future<Output = Option<T>>>>,
) -> Option<T> {
    poll_fn(|cx| match conn.poll_killed(cx) {
        Poll::Ready(()) => Poll::Ready(None),
        Poll::Pending => opening.as_mut().poll(cx),
    })
    .await
}

/// The gauge of a listener's open connections; held by its socket and by each connection.
pub(super) struct OpenConnections {
    local: Rc<Local>,
    count: Arc<Count>,
}

impl OpenConnections {
    pub(super) fn new(local: &Rc<Local>, count: Arc<Count>) -> Self {
        Self { local: Rc::clone(local), count }
    }
}

impl Drop for OpenConnections {
    fn drop(&mut self) {
        // The socket is closed and its last connection has ended: the listener's series may go, unless another socket
        // has the same name.
        drop(std::mem::take(&mut self.count));
        self.local.view().retire(self.local.meters());
    }
}

/// Counts a connection, and keeps it in the worker's list, for as long as its task lives.
pub(super) struct ConnectionGuard {
    number: u64,
    open: Rc<OpenConnections>,
}

impl ConnectionGuard {
    pub(super) fn enter(conn: &Rc<ClientConn>, open: &Rc<OpenConnections>) -> Self {
        open.count.bump();
        Self { number: open.local.enter(conn), open: Rc::clone(open) }
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.open.count.drop_one();
        self.open.local.leave(self.number);
    }
}
