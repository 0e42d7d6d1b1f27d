//! Room 4, REACH: a pooled or a new connection to one endpoint. Never sends a byte of the request. HTTP/2 is chosen by the
//! config and never guessed: an endpoint that does not speak it cannot be connected to.

use std::{io, rc::Rc, sync::Arc, time::Duration};

use socket2::SockRef;
use thalweg_core::{Fault, Tick};
use thalweg_wire::write_proxy_header;
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::{
    data::{
        link::{
            Http1Link, Link,
            http2::{Http2Conn, Http2Link},
            opening::GreetingError,
        },
        peer::Peer,
        source::ProxiedFor,
        upstream_io::UpstreamIo,
    },
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
    /// The endpoint speaks TLS and has not chosen HTTP/2.
    #[error("the endpoint did not choose h2 (ALPN)")]
    NotChosen,
    /// The endpoint does not begin as HTTP/2 does.
    #[error("http/2: {0}")]
    Greeting(#[source] GreetingError),
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
            Self::NotChosen | Self::Greeting(GreetingError::Http1 | GreetingError::Other) => Fault::Protocol,
            Self::Ended | Self::Greeting(GreetingError::Ended) => Fault::Reset,
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

/// A new connection to `peer`. Over HTTP/2 one that another request has just opened will do.
///
/// # Errors
/// As [`reach`].
pub async fn open(
    peer: &Rc<Peer>,
    proxied: Option<ProxiedFor>,
    timeout: Duration,
    now: Tick,
) -> Result<Link, ReachError> {
    new(peer, proxied, (timeout, now), peer.is_http2()).await
}

/// A new connection to `peer` for what is not HTTP: it is shared with nothing, whatever the endpoint speaks.
///
/// # Errors
/// As [`reach`].
pub async fn open_own(
    peer: &Rc<Peer>,
    proxied: Option<ProxiedFor>,
    timeout: Duration,
    now: Tick,
) -> Result<Link, ReachError> {
    new(peer, proxied, (timeout, now), false).await
}

async fn new(
    peer: &Rc<Peer>,
    proxied: Option<ProxiedFor>,
    (timeout, now): (Duration, Tick),
    shared: bool,
) -> Result<Link, ReachError> {
    let opening = async {
        match shared {
            true => share(peer).await.map(Link::Http2),
            false => connect(peer, now, proxied, None).await.map(|(io, opened)| {
                let mut link = Http1Link::new(io, peer.buffers(), opened, &peer.meters.active);
                link.proxied = proxied;
                Link::Http1(link)
            }),
        }
    };
    match tokio::time::timeout(timeout, opening).await {
        Err(_) => Err(ReachError::Timeout(timeout)),
        Ok(result) => result,
    }
}

/// A place on an HTTP/2 connection: on one that is there, on one that opens, or on a new one.
async fn share(peer: &Rc<Peer>) -> Result<Http2Link, ReachError> {
    loop {
        let now = peer.now();
        let keepalive = peer.settings.borrow().keepalive;
        if let Some(link) = peer.http2.take(keepalive, now) {
            return Ok(link);
        }
        if peer.http2.wait().await.is_some() {
            continue;
        }
        let _connecting = peer.http2.connecting();
        let stalled = peer.stalled();
        let (io, opened) = connect(peer, now, None, Some(b"h2")).await?;
        let conn = Http2Conn::open(io, peer.opening(opened)).await.map_err(ReachError::Greeting)?;
        peer.connected(peer.now().since(now).saturating_sub(peer.stalled_since(stalled)));
        // An endpoint that allows no stream at all cannot be used.
        let link = conn.take((keepalive.idle, keepalive.age), peer.now()).ok_or(ReachError::Ended)?;
        match peer.keeps(opened.1) {
            true => peer.http2.add(conn),
            false => conn.retire(),
        }
        return Ok(link);
    }
}

/// Opens a socket, with TLS if the endpoint has it. Returns when it was opened, and under which settings.
async fn connect(
    peer: &Peer,
    now: Tick,
    proxied: Option<ProxiedFor>,
    alpn: Option<&[u8]>,
) -> Result<(UpstreamIo, (Tick, u32)), ReachError> {
    let stalled = peer.stalled();
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
            let shaken = match alpn {
                None => connector.connect(tls.name.clone(), stream).await,
                Some(alpn) => {
                    connector.with_alpn(vec![alpn.to_vec()]).connect(tls.name.clone(), stream).await
                }
            };
            let stream = shaken.map_err(ReachError::Tls)?;
            if alpn.is_some() && stream.get_ref().1.alpn_protocol() != alpn {
                return Err(ReachError::NotChosen);
            }
            UpstreamIo::Tls(Box::new(stream))
        }
    };
    if alpn.is_none() {
        peer.connected(peer.now().since(now).saturating_sub(peer.stalled_since(stalled)));
    }
    Ok((io, (now, tls_epoch)))
}
