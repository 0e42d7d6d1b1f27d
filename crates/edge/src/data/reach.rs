//! Room 4, REACH: a pooled or a new connection to one endpoint. Never sends a byte of the request.

use std::{io, net::SocketAddr, rc::Rc, sync::Arc, time::Duration};

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use socket2::{Domain, SockRef, Socket, Type};
use thalweg_core::{Fault, Tick};
use tokio::net::TcpStream;

use crate::{
    data::{
        link::{InUse, Link},
        peer::Peer,
        tunnel::{Exit, UpstreamIo},
        upload::UploadBody,
    },
    shared::kernel::UNACKNOWLEDGED,
};

/// Why an endpoint could not be reached. Not one byte of the request was sent.
#[derive(Debug, thiserror::Error)]
pub enum ReachError {
    /// The kernel said no.
    #[error("tcp connect: {0}")]
    Tcp(#[source] io::Error),
    /// This edge is short of what a connection takes.
    #[error("this edge cannot connect: {0}")]
    Own(#[source] io::Error),
    /// No connection within `timeouts.connect`.
    #[error("no connection within {} ms", .0.as_millis())]
    Timeout(Duration),
    /// The TLS handshake failed.
    #[error("tls handshake: {0}")]
    Tls(#[source] io::Error),
    /// HTTP could not be set up on the connection.
    #[error("http setup: {0}")]
    Http(#[source] hyper::Error),
    /// The endpoint ended it at once.
    #[error("the new connection ended before the request was sent")]
    Ended,
}

impl ReachError {
    /// Less than half of its `full` time was left by earlier attempts: that is no measure of this endpoint.
    #[must_use]
    pub fn is_cut_short(&self, full: Duration) -> bool {
        matches!(self, Self::Timeout(limit) if *limit < full / 2)
    }

    /// What it says about the endpoint.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Tcp(error) => fault_of(error),
            Self::Own(_) => Fault::Local,
            Self::Timeout(_) => Fault::Timeout,
            Self::Tls(_) => Fault::Tls,
            Self::Http(_) => Fault::Protocol,
            Self::Ended => Fault::Reset,
        }
    }
}

/// What an I/O error says about the endpoint, once it is not [`is_own`].
#[must_use]
pub fn fault_of(error: &io::Error) -> Fault {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Fault::Refused,
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::NotConnected
        | io::ErrorKind::UnexpectedEof => Fault::Reset,
        io::ErrorKind::TimedOut => Fault::Timeout,
        _ => Fault::Unreachable,
    }
}

/// A connect to `address` failed because this edge is out of descriptors, ports or memory: the endpoint has not even
/// been asked. Of requests and probes alike, that is evidence of nothing.
///
/// Linux says `EADDRNOTAVAIL` when the ports have run out, and says the same of an IPv6 address where this machine has
/// no IPv6. Only the first is of this edge and passes. The second is a fact about the endpoint as seen from here, as
/// `ENETUNREACH` is: taken for the edge's own, its probes would never end, so that a new endpoint would keep `/readyz`
/// at 503, and a known one would be held healthy for ever while no request reaches it. A datagram socket tells them
/// apart without a packet: to connect it takes the same route and source address, and none of TCP's ports.
#[must_use]
pub fn is_own(error: &io::Error, address: SocketAddr) -> bool {
    let way = || Socket::new(Domain::for_address(address), Type::DGRAM, None)?.connect(&address.into());
    match error.raw_os_error() {
        Some(libc::EADDRNOTAVAIL) => way().err().is_none_or(|error| is_short(&error)),
        _ => is_short(error),
    }
}

/// The same of a connection that is there: it has its port.
#[must_use]
pub fn is_short(error: &io::Error) -> bool {
    let short = [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM, libc::EAGAIN];
    error.raw_os_error().is_some_and(|code| short.contains(&code))
}

/// A connection to `peer`, pooled if there is one.
///
/// # Errors
/// [`ReachError`]; the caller may ask for another endpoint.
pub async fn reach(peer: &Rc<Peer>, timeout: Duration, now: Tick) -> Result<Link, ReachError> {
    match peer.take_idle(now) {
        Some(link) => Ok(link),
        None => open(peer, timeout, now).await,
    }
}

/// A new connection to `peer`.
///
/// # Errors
/// As [`reach`].
pub async fn open(peer: &Rc<Peer>, timeout: Duration, now: Tick) -> Result<Link, ReachError> {
    let stalled = peer.stalled();
    match tokio::time::timeout(timeout, connect(peer)).await {
        Err(_) => Err(ReachError::Timeout(timeout)),
        Ok(Err(error)) => Err(error),
        Ok(Ok((io, tls_epoch))) => {
            peer.connected(peer.now().since(now).saturating_sub(peer.stalled_since(stalled)));
            handshake(peer, io, (now, tls_epoch)).await
        }
    }
}

async fn connect(peer: &Peer) -> Result<(UpstreamIo, u32), ReachError> {
    let failed = |error| match is_own(&error, peer.address) {
        true => ReachError::Own(error),
        false => ReachError::Tcp(error),
    };
    let stream = TcpStream::connect(peer.address).await.map_err(failed)?;
    stream.set_nodelay(true).map_err(ReachError::Tcp)?;
    SockRef::from(&stream).set_tcp_user_timeout(Some(UNACKNOWLEDGED)).map_err(ReachError::Tcp)?;
    let (tls, tls_epoch) = peer.tls();
    let io = match tls {
        None => UpstreamIo::Plain(stream),
        Some(tls) => {
            let connector = tokio_rustls::TlsConnector::from(Arc::clone(&tls.config));
            let stream = connector.connect(tls.name.clone(), stream).await.map_err(ReachError::Tls)?;
            UpstreamIo::Tls(Box::new(stream))
        }
    };
    Ok((io, tls_epoch))
}

async fn handshake(
    peer: &Rc<Peer>,
    io: UpstreamIo,
    (opened, tls_epoch): (Tick, u32),
) -> Result<Link, ReachError> {
    let socket = io.socket();
    let (sender, mut connection) = http1::Builder::new()
        .max_buf_size(128 * 1024)
        .handshake::<_, UploadBody>(TokioIo::new(io))
        .await
        .map_err(ReachError::Http)?;
    let exit = Rc::new(Exit::default());
    exit.socket.set(Some(socket));
    let left = Rc::clone(&exit);
    tokio::task::spawn_local(async move {
        // How it ended is told to whoever waits for an answer on it; an idle one has nobody to tell.
        let ended = std::future::poll_fn(|cx| connection.poll_without_shutdown(cx)).await;
        let parts = connection.into_parts();
        left.leave(ended.is_ok().then(|| (parts.io.into_inner(), parts.read_buf)));
    });
    Ok(Link {
        sender,
        exit,
        opened,
        tls_epoch,
        reused: false,
        patient: false,
        in_use: Some(InUse::new(&peer.meters.active)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lack_of_ports_is_our_own_and_an_address_that_we_have_no_way_to_is_not() {
        // Link-local without a link: no machine has a way there, with IPv6 or without.
        let (here, nowhere) = ("127.0.0.1:9", "[fe80::1]:9");
        for (code, address, own) in [
            (libc::EMFILE, nowhere, true),
            (libc::EAGAIN, here, true),
            (libc::EADDRNOTAVAIL, here, true),
            (libc::EADDRNOTAVAIL, nowhere, false),
            (libc::ENETUNREACH, here, false),
            (libc::EAFNOSUPPORT, nowhere, false),
            (libc::ECONNREFUSED, here, false),
        ] {
            let error = io::Error::from_raw_os_error(code);
            assert_eq!(is_own(&error, address.parse().unwrap()), own, "{error} at {address}");
        }
    }
}
