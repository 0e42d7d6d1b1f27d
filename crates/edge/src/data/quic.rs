//! Room 1 for QUIC: a worker's UDP socket to connections. Handshakes, address validation, and the same limits as for TCP.
//! Never reads a request.
//!
//! `socket` is the socket as quinn sees it, `connection_id` which worker has a connection, `transport` a connection as the `h3` crate
//! sees it, `frames` the guard over what clients send, `settings` what a connection may take.

use std::{
    cell::{Cell, RefCell},
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
};

use quinn::{Endpoint, EndpointConfig, Incoming, ServerConfig, TokioRuntime};
use tokio::{sync::oneshot, time::Instant};

use self::{connection_id::NumberedIds, socket::SortedSocket};
use crate::{
    data::{
        accept::{
            ConnectionGuard, ListenSocket, OpenConnections, SURPLUS, make_room, take_place, unless_killed,
        },
        conn::ClientConn,
        handshake,
        local::Local,
        session,
        source::RequestSource,
    },
    shared::{Wiring, datagrams::QuicSocket, meters::Series, telemetry},
};

mod connection_id;
mod frames;
mod settings;
mod socket;
mod transport;

pub use transport::{In, Out, StreamWatch, Transport};

/// Handshakes under way in one worker from which on a client must first prove its address (RFC 9000 section 8.1.2).
const PROVE: usize = 64;

/// Most handshakes under way in one worker.
const HANDSHAKES: usize = 512;

/// Accepts until `closed`; then refuses new connections until the last one has ended, so that clients turn to TCP at once.
pub async fn accept(
    local: Rc<Local>,
    listen_socket: ListenSocket,
    socket: QuicSocket,
    mut closed: oneshot::Receiver<()>,
) {
    // The config that opens this socket may have been published a moment ago.
    local.follow();
    let name = Arc::clone(&listen_socket.name.1);
    let open = local.meters().cell(Series::new(&telemetry::CONNECTIONS, &[&name]));
    let open = Rc::new(OpenConnections::new(&local, open));
    let Some((wiring, server)) = listen_socket.settings(&local).and_then(|(wiring, position)| {
        let server = settings::server(&wiring, position)?;
        Some((wiring, server))
    }) else {
        return;
    };
    let endpoint = match endpoint(socket, (*server).clone()) {
        Ok(endpoint) => endpoint,
        Err(error) => return tracing::error!(%error, listener = %name, "cannot listen"),
    };
    let known = RefCell::new((wiring, server));
    let acceptor = Acceptor { local, listen_socket, open, known, handshakes: Rc::default(), endpoint };
    let mut closing = false;
    loop {
        let incoming = tokio::select! {
            biased;
            _ = &mut closed, if !closing => {
                closing = true;
                continue;
            }
            () = acceptor.endpoint.wait_idle(), if closing => return,
            incoming = acceptor.endpoint.accept() => incoming,
        };
        match incoming {
            None => return,
            Some(incoming) if closing => incoming.refuse(),
            Some(incoming) => acceptor.admit(incoming),
        }
    }
}

fn endpoint(socket: QuicSocket, server: ServerConfig) -> std::io::Result<Endpoint> {
    let number = socket.number;
    let mut config = EndpointConfig::default();
    config.cid_generator(move || Box::new(NumberedIds(number)));
    let socket = Arc::new(SortedSocket::new(socket)?);
    Endpoint::new_with_abstract_socket(config, Some(server), socket, Arc::new(TokioRuntime))
}

/// What a worker's UDP socket of one listener needs.
struct Acceptor {
    local: Rc<Local>,
    listen_socket: ListenSocket,
    open: Rc<OpenConnections>,
    /// The last config, and what it means for connections.
    known: RefCell<(Arc<Wiring>, Arc<ServerConfig>)>,
    /// Handshakes under way.
    handshakes: Rc<Cell<usize>>,
    endpoint: Endpoint,
}

impl Acceptor {
    /// Starts the task of one connection, unless there is no room for it.
    fn admit(&self, incoming: Incoming) {
        let Some((wiring, position)) = self.listen_socket.settings(&self.local) else { return };
        let (Some(listener), Some(server)) =
            (wiring.config.listeners.get(position), self.server(&wiring, position))
        else {
            return;
        };
        let (local, name) = (&self.local, &self.listen_socket.name);
        let (now_open, limit) = (local.client_connections(), wiring.max_connections as u64);
        // A sender that has not proved its address takes no place from others.
        let must_prove = self.handshakes.get() >= PROVE || now_open >= limit - limit / 10;
        if must_prove && !incoming.remote_address_validated() && incoming.may_retry() {
            // The error hands the attempt back, which is then refused.
            let _ = incoming.retry();
            return;
        }
        if self.handshakes.get() >= HANDSHAKES {
            local.meters().shed(&name.1, "handshakes", 1);
            return incoming.refuse();
        }
        let made = make_room(local, &name.1, (now_open, limit));
        if now_open >= limit + SURPLUS.min(limit) {
            return incoming.refuse();
        }
        let surplus = now_open >= limit && made == 0;
        let mut source = RequestSource::new(incoming.remote_address());
        if wiring.sends_proxy {
            let port = listener.bind.value.port();
            source.destination = incoming.local_ip().map(|ip| SocketAddr::new(ip.to_canonical(), port));
        }
        let forwarders = listener.front.forwarders.clone();
        let conn = ClientConn::new(name.clone(), (source, forwarders), surplus, local.clock());
        conn.http2.set(true);
        conn.quic.set(true);
        match incoming.accept_with(server) {
            Ok(connecting) => self.serve(conn, connecting),
            // The first words of the handshake were wrong already.
            Err(error) => handshake::failed_quic(local, &conn, &error),
        }
    }

    fn serve(&self, conn: Rc<ClientConn>, connecting: quinn::Connecting) {
        let guard = ConnectionGuard::enter(&conn, &self.open);
        let (local, handshake) = (Rc::clone(&self.local), HandshakeGuard::enter(&self.handshakes));
        tokio::task::spawn_local(async move {
            let _guard = guard;
            let until = Instant::now() + local.limits().header_timeout;
            let secured = handshake::secure_quic(&local, &conn, connecting, until);
            let Some(quic) = unless_killed(&conn, Box::pin(secured)).await else { return };
            drop(handshake);
            // Only now has the client proved its address.
            let Some(_place) = take_place(&local, &conn) else { return };
            Box::pin(session::http3(local, Rc::clone(&conn), quic)).await;
        });
    }

    /// What the config in force means for connections; made once for each config.
    fn server(&self, wiring: &Arc<Wiring>, position: usize) -> Option<Arc<ServerConfig>> {
        let mut known = self.known.borrow_mut();
        if !Arc::ptr_eq(&known.0, wiring) {
            *known = (Arc::clone(wiring), settings::server(wiring, position)?);
        }
        Some(Arc::clone(&known.1))
    }
}

/// Counts a handshake for as long as it is under way.
struct HandshakeGuard(Rc<Cell<usize>>);

impl HandshakeGuard {
    fn enter(count: &Rc<Cell<usize>>) -> Self {
        count.set(count.get() + 1);
        Self(Rc::clone(count))
    }
}

impl Drop for HandshakeGuard {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}
