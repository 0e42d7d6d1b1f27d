//! Room 1, ACCEPT: sockets to connections. TLS, protocol choice, and the limit on connections.
//! Never reads a request.

use std::{net::SocketAddr, rc::Rc, sync::Arc, time::Duration};

use tokio::{
    io::Interest,
    net::{TcpListener, TcpStream},
    time::timeout,
};

use crate::{
    conn::{ClientConn, ClientIo},
    meters::{Cell as Count, Series},
    session, telemetry,
    worker::Local,
};

/// Connections above the limit that are still answered with 503 (the rest is closed at once).
const SURPLUS: u64 = 256;

/// Pause after the kernel refused a socket for want of descriptors or memory.
const BREATH: Duration = Duration::from_millis(50);

/// One listening socket of this worker.
#[derive(Debug)]
pub struct Door {
    /// Position in the worker's list of names, and the configured name.
    pub name: (u32, Arc<str>),
    /// Ours alone (`SO_REUSEPORT`).
    pub socket: TcpListener,
}

/// Accepts until `closed`; then takes what already waits in the queue, so that nobody who connected is reset.
pub async fn accept(local: Rc<Local>, door: Door, mut closed: tokio::sync::oneshot::Receiver<()>) {
    let open = local.meters().cell(Series::new(&telemetry::CONNECTIONS, &[&door.name.1]));
    loop {
        let accepted = tokio::select! {
            accepted = door.socket.accept() => accepted,
            _ = &mut closed => break,
        };
        match accepted {
            Ok((stream, peer)) => admit(&local, &door, stream, peer, &open),
            Err(error) if is_exhaustion(&error) => {
                tracing::warn!(%error, listener = %door.name.1, "cannot accept");
                tokio::time::sleep(BREATH).await;
            }
            // The client went away between its handshake and our accept.
            Err(_) => {}
        }
    }
    // `ready` forces a look at the queue even if the reactor has not reported it yet.
    while let Ok(Ok((stream, peer))) = timeout(Duration::from_millis(5), door.socket.accept()).await {
        admit(&local, &door, stream, peer, &open);
    }
}

fn is_exhaustion(error: &std::io::Error) -> bool {
    // EMFILE, ENFILE, ENOBUFS, ENOMEM
    matches!(error.raw_os_error(), Some(24 | 23 | 105 | 12))
}

/// Starts the task of one connection, unless there are far too many.
fn admit(local: &Rc<Local>, door: &Door, stream: TcpStream, peer: SocketAddr, open: &Arc<Count>) {
    let view = local.view();
    let Some(position) =
        view.wiring.config.listeners.iter().position(|listener| *listener.name == *door.name.1)
    else {
        return;
    };
    let Some(listener) = view.wiring.config.listeners.get(position).cloned() else { return };
    let tls = view.wiring.listener_tls.get(position).cloned().flatten();
    let limits = view.wiring.config.limits;
    let (now_open, limit) = (local.client_connections(), view.wiring.max_connections as u64);
    if now_open >= limit + SURPLUS.min(limit) {
        return;
    }
    // Small answers must not wait for an acknowledgement; a socket that cannot be told so is already dead.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let conn = ClientConn::new(door.name.clone(), peer, now_open >= limit, local.clock());
    let guest = Guest::enter(local, &conn, open);
    let local = Rc::clone(local);
    tokio::task::spawn_local(async move {
        let _guest = guest;
        let both = listener.http1 && listener.http2;
        let opened = match tls {
            // Nothing to wait for: the usual silent connection stays small.
            None if !both => Some((ClientIo::plain(stream, Rc::clone(&conn)), listener.http2)),
            // Boxed, so that connections that need none of it do not hold room for it.
            None => Box::pin(timeout(limits.header_timeout, told_apart(&conn, stream))).await.ok().flatten(),
            Some(config) => {
                Box::pin(timeout(limits.header_timeout, secure(&conn, stream, config))).await.ok().flatten()
            }
        };
        match opened {
            Some((io, true)) => Box::pin(session::http2(local, conn, io, limits)).await,
            Some((io, false)) => session::http1(local, conn, io, limits).await,
            None => {}
        }
    });
}

/// Plaintext that may be either: HTTP/2 by prior knowledge begins with its preface.
async fn told_apart(conn: &Rc<ClientConn>, stream: TcpStream) -> Option<(ClientIo, bool)> {
    let mut start = [0; 4];
    stream.ready(Interest::READABLE).await.ok()?;
    let seen = stream.peek(&mut start).await.ok()?;
    let is_http2 = start.get(..seen).is_some_and(|start| start.starts_with(b"PRI "));
    Some((ClientIo::plain(stream, Rc::clone(conn)), is_http2))
}

async fn secure(
    conn: &Rc<ClientConn>,
    stream: TcpStream,
    config: Arc<rustls::ServerConfig>,
) -> Option<(ClientIo, bool)> {
    let stream = tokio_rustls::TlsAcceptor::from(config).accept(stream).await.ok()?;
    let (_, tls) = stream.get_ref();
    conn.tls.set(Some(match tls.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_3) => "TLSv1.3",
        _ => "TLSv1.2",
    }));
    let is_http2 = tls.alpn_protocol() == Some(b"h2");
    Some((ClientIo::tls(stream, Rc::clone(conn)), is_http2))
}

/// Counts a connection, and keeps it in the worker's list, for as long as its task lives.
struct Guest {
    local: Rc<Local>,
    number: u64,
    open: Arc<Count>,
}

impl Guest {
    fn enter(local: &Rc<Local>, conn: &Rc<ClientConn>, open: &Arc<Count>) -> Self {
        open.bump();
        Self { local: Rc::clone(local), number: local.enter(conn), open: Arc::clone(open) }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.open.drop_one();
        self.local.leave(self.number);
    }
}
