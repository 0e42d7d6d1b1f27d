//! Connections to the edge: kept between requests, unless a request asks for a new one.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::LoadState;
use crate::lock;

/// One connection to the edge.
#[derive(Debug)]
pub(super) enum Sender {
    One(http1::SendRequest<Full<Bytes>>, Arc<AtomicBool>),
    Two(http2::SendRequest<Full<Bytes>>),
}

/// One to send on: kept, or new.
pub(super) async fn checkout(shared: &Arc<LoadState>, fresh: bool) -> std::io::Result<Sender> {
    loop {
        // A statement of its own, so that the lock is not held across the await below.
        let kept = if fresh { None } else { lock(&shared.idle).pop() };
        let Some(sender) = kept else { return connect(shared).await };
        match sender {
            Sender::One(mut sender, ours) => {
                if sender.ready().await.is_ok() {
                    return Ok(Sender::One(sender, ours));
                }
            }
            Sender::Two(sender) if sender.is_ready() => {
                lock(&shared.idle).push(Sender::Two(sender.clone()));
                return Ok(Sender::Two(sender));
            }
            Sender::Two(_) => {}
        }
    }
}

/// Keeps it for the next request, unless it was opened for one alone.
pub(super) fn put_back(shared: &LoadState, sender: Sender, fresh: bool) {
    match sender {
        Sender::One(_, ours) if fresh => ours.store(true, Ordering::SeqCst),
        Sender::Two(_) if fresh || !lock(&shared.idle).is_empty() => {}
        sender => lock(&shared.idle).push(sender),
    }
}

async fn connect(shared: &Arc<LoadState>) -> std::io::Result<Sender> {
    let load = &shared.load;
    let tcp = TcpStream::connect(load.addr).await?;
    tcp.set_nodelay(true)?;
    match &load.tls {
        None => speak(shared, TokioIo::new(tcp)).await,
        Some(config) => {
            let name = ServerName::try_from(load.host.clone()).map_err(std::io::Error::other)?;
            let tls = TlsConnector::from(Arc::clone(config)).connect(name, tcp).await?;
            speak(shared, TokioIo::new(tls)).await
        }
    }
}

async fn speak<S>(shared: &Arc<LoadState>, io: S) -> std::io::Result<Sender>
where
    S: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    if shared.load.h2 {
        let made = http2::handshake(TokioExecutor::new(), io).await;
        let (sender, connection) = made.map_err(std::io::Error::other)?;
        tokio::spawn(connection);
        return Ok(Sender::Two(sender));
    }
    let (sender, connection) = http1::handshake(io).await.map_err(std::io::Error::other)?;
    let ours = Arc::new(AtomicBool::new(false));
    let (shared, meant) = (Arc::clone(shared), Arc::clone(&ours));
    tokio::spawn(async move {
        let _how_it_ended_shows_elsewhere = connection.await;
        if !meant.load(Ordering::SeqCst) && !shared.stop.load(Ordering::SeqCst) {
            shared.closed.fetch_add(1, Ordering::SeqCst);
        }
    });
    Ok(Sender::One(sender, ours))
}

/// One word for an error.
pub(super) fn kind(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            match io.kind() {
                std::io::ErrorKind::ConnectionRefused => return "refused".to_owned(),
                std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe => {
                    return "reset".to_owned();
                }
                std::io::ErrorKind::UnexpectedEof => return "closed".to_owned(),
                _ => {}
            }
        }
        if let Some(hyper) = error.downcast_ref::<hyper::Error>()
            && (hyper.is_incomplete_message() || hyper.is_closed() || hyper.is_canceled())
        {
            return "closed".to_owned();
        }
        cause = error.source();
    }
    error.to_string()
}
