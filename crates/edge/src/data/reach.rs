//! Room 4, REACH: a pooled or a new connection to one endpoint. Never sends a byte of the request.

use std::{io, rc::Rc, sync::Arc, time::Duration};

use socket2::SockRef;
use thalweg_core::{Fault, Tick};
use thalweg_wire::write_proxy_header;
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::{
    data::{link::Link, peer::Peer, source::ProxiedFor, upstream_io::UpstreamIo},
    shared::{
        fault::{fault_of, is_own, tls_fault},
        kernel::UNACKNOWLEDGED,
    },
};

/// Why an endpoint could not be reached. No byte of the request was sent.
#[derive(Debug, thiserror::Error)]
pub enum ReachError {
    /// The kernel refused the connection.
    #[error("tcp connect: {0}")]
    Tcp(#[source] io::Error),
    /// This edge lacks descriptors, ports or memory.
    #[error("this edge cannot connect: {0}")]
    Own(#[source] io::Error),
    /// No connection within `timeouts.connect`.
    #[error("no connection within {} ms", .0.as_millis())]
    Timeout(Duration),
    /// The TLS handshake failed.
    #[error("tls handshake: {0}")]
    Tls(#[source] io::Error),
    /// The endpoint closed the new connection at once.
    #[error("the new connection ended before the request was sent")]
    Ended,
}

impl ReachError {
    /// Whether earlier attempts left less than half of the `full` time. Such a timeout says nothing about this
    /// endpoint.
    #[must_use]
    pub fn is_cut_short(&self, full: Duration) -> bool {
        matches!(self, Self::Timeout(limit) if *limit < full / 2)
    }

    /// The fault as evidence about the endpoint.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Tcp(error) => fault_of(error),
            Self::Own(_) => Fault::Local,
            Self::Timeout(_) => Fault::Timeout,
            Self::Tls(error) => tls_fault(error).unwrap_or(Fault::Tls),
            Self::Ended => Fault::Reset,
        }
    }
}

/// A connection to `peer`, pooled if there is one.
///
/// # Errors
/// [`ReachError`]; the caller may ask for another endpoint.
pub async fn reach(
    peer: &Rc<Peer>,
    proxied: Option<ProxiedFor>,
    timeout: Duration,
    now: Tick,
) -> Result<Link, ReachError> {
    match peer.take_idle(now, proxied) {
        Some(link) => Ok(link),
        None => open(peer, proxied, timeout, now).await,
    }
}

/// A new connection to `peer`.
///
/// # Errors
/// As [`reach`].
pub async fn open(
    peer: &Rc<Peer>,
    proxied: Option<ProxiedFor>,
    timeout: Duration,
    now: Tick,
) -> Result<Link, ReachError> {
    let stalled = peer.stalled();
    match tokio::time::timeout(timeout, connect(peer, proxied)).await {
        Err(_) => Err(ReachError::Timeout(timeout)),
        Ok(Err(error)) => Err(error),
        Ok(Ok((io, tls_epoch))) => {
            peer.connected(peer.now().since(now).saturating_sub(peer.stalled_since(stalled)));
            let mut link = Link::new(io, peer.buffers(), (now, tls_epoch), &peer.meters.active);
            link.proxied = proxied;
            Ok(link)
        }
    }
}

async fn connect(peer: &Peer, proxied: Option<ProxiedFor>) -> Result<(UpstreamIo, u32), ReachError> {
    let failed = |error| match is_own(&error, peer.address) {
        true => ReachError::Own(error),
        false => ReachError::Tcp(error),
    };
    let mut stream = TcpStream::connect(peer.address).await.map_err(failed)?;
    stream.set_nodelay(true).map_err(ReachError::Tcp)?;
    SockRef::from(&stream).set_tcp_user_timeout(Some(UNACKNOWLEDGED)).map_err(ReachError::Tcp)?;
    if let Some(ProxiedFor { source, destination }) = proxied {
        let mut header = Vec::new();
        write_proxy_header(&mut header, source, destination);
        stream.write_all(&header).await.map_err(ReachError::Tcp)?;
    }
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
